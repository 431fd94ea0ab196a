// The views of what was kept and what broke, with data: benchmarks with a change, an opportunity before and after it
// was applied, budgets and alerts, runs by stretch of time, who did what in a job, the difference of two profiles.  All
// of it is made with brisk's own commands and real jobs, but for the benchmark's figures, which are set; what is shown
// is compared with what the API says.
//
//   node test_history.mjs BRISK MODULES [FOLDER FOR SCREENSHOTS]
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Node, WAIT_MS, check, main, shot, test, until } from "./lib.mjs";

const POINTS = 24; // of a benchmark, which gets slower after half of them
const PATCH = Buffer.from("PATCH\0\0\x01\0\x02hiEOF", "latin1");
const BUDGETS = `schema: 1
budgets:
  - {name: entries, metric: serve.tier.entries, labels: {tier: memory}, statistic: value, warning: 1000, critical: 2000, for: 0s}
  - {name: fast answers, metric: serve.http.time, labels: {route: api.cache}, statistic: p99, critical: 50s}
  - {name: never asked, metric: serve.http.time, labels: {route: none}, statistic: p99, critical: 50ms}
`;

/** Milliseconds of a program that takes three times as long from the middle on, with a little noise. */
const TIMES = Array.from({ length: POINTS }, (_, i) => (i < POINTS / 2 ? 20 : 60) + ((i * 7) % 5) / 5);

/**
 * Its time, measured again and again; the figures are then set, an hour from one to the next: in a real clock's noise a
 * change of so few points is missed now and then (one of twelve), however large.
 */
async function benchmarks(node) {
  for (let i = 0; i < POINTS; i++) await node.command("bench", "-q", "--runs", "2", "--warmup", "0", "--save", "start", "--name", "start", "true");
  const measured = "SELECT id FROM benchmarks WHERE name = 'start' AND metric = 'wall' ORDER BY id LIMIT 1 OFFSET ?1";
  await node.history(`UPDATE benchmarks SET value = ?2, low = ?2 * 0.99, high = ?2 * 1.01, wall_ns = wall_ns - ?3 WHERE id = (${measured})`,
    TIMES.map((ms, i) => [i, ms * 1e6, (POINTS - 1 - i) * 3600e9]));
}

/** Runs of one command: slow ones, whose opportunities are taken but for one, then fast ones. */
async function runs(node) {
  const apply = (rom) => node.command("rom", "apply", rom, "mod.ips", "-o", "out.sfc", "--no-cache", "-q");
  writeFileSync(join(node.folder, "mod.ips"), PATCH);
  for (const size of [8 << 20, 1 << 10]) {
    writeFileSync(join(node.folder, "game.sfc"), randomBytes(size));
    for (let i = 0; i < 6; i++) await apply("game.sfc");
    if (size === 1 << 10) return;
    const { opportunities } = JSON.parse(await node.command("history", "opportunities", "--json", "--limit", "0"));
    check(opportunities.length > 0, "nothing is recommended");
    await node.command("history", "apply", opportunities[0].key);
  }
}

async function jobs(node) {
  for (let i = 0; i < 4; i++) {
    const rom = randomBytes(200000).toString("base64");
    await node.change("POST", "/v1/jobs", { workload: "rom", request: { rom: { base64: rom }, mods: [{ base64: PATCH.toString("base64") }] } });
  }
}

async function show(node, page, view) {
  await page.goto(`${node.origin}/#/${view}`);
  await page.waitForSelector("p.link.live", { timeout: WAIT_MS });
}

const json = async (node, path) => (await fetch(node.origin + path)).json();
const cells = (row) => row.locator("td").allTextContents();
const percent = (value) => `${(value * 100).toFixed(1)} %`;

test("a benchmark over time, with the change where it happened", async ({ node, page }) => {
  await show(node, page, "benchmarks");
  const { benchmarks: kept } = await json(node, "/v1/benchmarks");
  const line = kept.find((one) => one.name === "start" && one.metric === "wall");
  check(line.points.length === POINTS, `${line.points.length} points`);
  check(line.points.every((one, i) => Math.abs(one.value / 1e6 - TIMES[i]) < 1e-6), line.points.map((one) => one.value).join());
  const [change] = line.changes;
  check(line.changes.length === 1 && change.at === POINTS / 2, `changes at ${line.changes.map((one) => one.at)}`);
  const chart = page.locator("section[aria-label='start: time']");
  await chart.locator("canvas").waitFor({ state: "visible", timeout: WAIT_MS });
  const said = await chart.locator("[role=img]").getAttribute("aria-label");
  check(/median \d+\.\d ms, low \d+\.\d ms, high \d+\.\d ms/.test(said), said);
  const by = change.after / change.before - 1;
  const row = await cells(chart.locator("tbody tr", { hasText: `+${by >= 0.9995 ? Math.round(by * 100) : (by * 100).toFixed(1)} %` }));
  check(/^\d+\.\d ms$/.test(row[2]) && parseFloat(row[3]) > 1.5 * parseFloat(row[2]), row.join(" | "));
  check((await chart.textContent()).includes(`${POINTS} measurements on ${line.machine}`), "neither count nor machine");
  await until(page, () => /\d{4}, .*ms/.test(document.querySelector(".u-legend").textContent), null, "the legend has the last measurement");
  check((await page.getByRole("combobox", { name: /^time/ }).count()) === 0, "a stretch of time can be chosen that changes nothing");
  await shot(page, "history-benchmarks");
});

test("an opportunity, what was promised and what came of it", async ({ node, page }) => {
  await show(node, page, "tune");
  const { opportunities } = await json(node, "/v1/opportunities");
  const applied = opportunities.find((one) => one.state === "applied");
  check(applied !== undefined && applied.measured_gain !== null, JSON.stringify(applied));
  const card = page.locator(`li[aria-label='${applied.key}']`);
  await card.waitFor({ timeout: WAIT_MS });
  const figures = Object.fromEntries(await card.locator(".figure").evaluateAll((all) => all.map((one) => [one.querySelector("dt").textContent, one.querySelector("dd").textContent.trim()])));
  check(figures["Estimated gain"] === percent(applied.estimated_gain), figures["Estimated gain"]);
  check(figures["Measured gain"] === percent(applied.measured_gain), figures["Measured gain"]);
  check(figures.State.endsWith("applied") && figures.Of === "rom", JSON.stringify(figures));
  check((await card.getByRole("img").getAttribute("aria-label")) === `Of the time, ${percent(applied.estimated_gain)} was estimated, ${percent(applied.measured_gain)} measured`, "the bar says something else");
  const mark = await card.locator(".got").evaluate((one) => parseFloat(one.style.left));
  check(Math.abs(mark - Math.min(1, Math.max(0, applied.measured_gain)) * 100) < 0.2, `the mark is at ${mark} %`);
  const open = opportunities.find((one) => one.state === "open");
  if (open) check((await page.locator(`li[aria-label='${open.key}']`).textContent()).includes(`brisk history apply ${open.key}`), "how it is applied is not said");
  await shot(page, "history-opportunities");
});

test("budgets with their levels, and alerts that come and go", async ({ node, page }) => {
  await show(node, page, "budgets");
  const row = page.getByRole("region", { name: "Budgets", exact: true }).locator("tr", { hasText: "value of serve.tier.entries" });
  await row.getByText("critical").waitFor({ timeout: WAIT_MS });
  const text = await cells(row);
  check(text[3] === "3000" && text[4] === "1000" && text[5] === "2000" && text[6] === "firing", text.join(" | "));
  check((await cells(page.locator("tr", { hasText: "never asked" })))[1].includes("unknown"), "a level of what was never measured");
  check((await page.getByRole("alert").textContent()).includes("entries: value of serve.tier.entries is 3000"), "the alert is not said");
  const alerts = page.getByRole("region", { name: "Alerts that were" });
  await alerts.locator(".level.firing").first().waitFor({ timeout: WAIT_MS });
  await shot(page, "history-budgets");
  await node.redis(["FLUSHALL"]);
  await alerts.locator(".level.resolved").first().waitFor({ timeout: WAIT_MS }); // without a reload
  await until(page, () => document.querySelector("[role=alert]") === null, null, "the alert goes");
  await node.keys(3000);
});

test("runs of the history by stretch of time, and how one went", async ({ node, page }) => {
  await show(node, page, "jobs");
  const { runs: kept } = await json(node, "/v1/runs?limit=200");
  const region = page.getByRole("region", { name: /^Runs of jobs and commands that were kept, last 5 min/ });
  await region.waitFor({ timeout: WAIT_MS });
  const shown = await region.locator("tbody tr").count();
  check(shown === kept.length, `${shown} of ${kept.length} runs`);
  await region.getByRole("button", { name: String(kept[kept.length - 1].id), exact: true }).click();
  const graph = page.locator("figure", { hasText: `Pipeline of run ${kept[kept.length - 1].id} (rom)` });
  await graph.locator("rect.critical").first().waitFor({ timeout: WAIT_MS });
  const { stages } = await json(node, `/v1/runs/${kept[kept.length - 1].id}`);
  const names = await graph.getByRole("list", { name: /Stages/ }).getByRole("listitem").evaluateAll((all) => all.map((one) => one.getAttribute("aria-label").split(":")[0]));
  check(names.join() === stages.map((one) => one.name).join(), names.join());
  await page.getByRole("combobox", { name: /^time/ }).selectOption("1h");
  await page.getByRole("region", { name: /^Runs of jobs and commands that were kept, last hour/ }).waitFor({ timeout: WAIT_MS });
  await shot(page, "history-runs");
});

test("who did what in a job", async ({ node, page }) => {
  await show(node, page, "jobs");
  const { jobs: all } = await json(node, "/v1/jobs?limit=50");
  const { report } = await json(node, `/v1/jobs/${all[0].id}`);
  const lanes = page.getByRole("list", { name: "Workers over time" });
  await lanes.waitFor({ timeout: WAIT_MS });
  const said = await lanes.getByRole("listitem").evaluateAll((rows) => rows.map((one) => one.getAttribute("aria-label")));
  const ran = report.stages.filter((stage) => stage.how === "computed");
  check(said.length === new Set(ran.map((stage) => stage.worker)).size, said.join("\n"));
  for (const stage of ran) {
    const lane = stage.worker < 0 ? "submitting thread" : `worker ${stage.worker}`;
    check(said.some((text) => text.startsWith(`${lane}: busy `) && text.includes(stage.stage)), `${stage.stage} is not with ${lane}: ${said.join("\n")}`);
  }
  await shot(page, "history-workers");
});

test("two profiles of a node under load, and what changed", async ({ node, page }) => {
  const under = async (load) => {
    const profile = await (await node.change("POST", "/v1/profiles", { seconds: 2, hertz: 199 })).json();
    const over = async () => (await json(node, `/v1/profiles/${profile.id}`)).state !== "running";
    while (!(await over())) await load();
    return json(node, `/v1/profiles/${profile.id}`);
  };
  const first = await under(() => node.keys(2000));
  const second = await under(() => node.traffic(10));
  if (first.state === "failed" || second.state === "failed") {
    console.log(`  (nothing can be sampled here: ${first.why || second.why})`);
    return;
  }
  await show(node, page, "profile");
  await page.getByLabel("against").selectOption(String(first.id));
  const changed = page.getByRole("region", { name: /What changed most/ });
  await changed.waitFor({ timeout: WAIT_MS });
  const rows = await changed.locator("tbody tr").evaluateAll((all) => all.map((one) => [...one.querySelectorAll("td")].map((cell) => cell.textContent)));
  check(rows.length > 0, "nothing changed between two loads");
  for (const [name, here, other, by] of rows) {
    const points = parseFloat(by.replace("−", "-"));
    check(Math.abs(parseFloat(here) - parseFloat(other) - points) < 0.16, `${name}: ${here} is not ${other} and ${by}`);
  }
  const sizes = rows.map((row) => Math.abs(parseFloat(row[3].replace("−", "-"))));
  check(sizes.every((size, i) => i === 0 || size <= sizes[i - 1]), "not the largest first");
  check((await page.locator(".flame rect[class^=more], .flame rect[class^=less]").count()) > 0, "no frame is coloured");
  await shot(page, "history-diff");
  await page.getByRole("button", { name: "swap" }).click();
  const turned = rows[0][3].startsWith("+") ? rows[0][3].replace("+", "−") : rows[0][3].replace("−", "+");
  await until(page, ([name, by]) => [...document.querySelectorAll(".flame td")].some((cell) => cell.textContent === name && cell.parentElement.lastChild.textContent === by), [rows[0][0], turned], "the difference the other way round");

  // By the keyboard: one stop, arrows walk, Enter zooms, Escape shows the whole.
  check((await page.locator(".flame g[tabindex='0']").count()) === 1, "more than one stop for the tab key");
  await page.locator(".flame g[tabindex='0']").focus();
  await page.keyboard.press("ArrowDown");
  const level = () => page.evaluate(() => document.activeElement.getAttribute("aria-level"));
  check((await level()) === "2", `an arrow leads to level ${await level()}`);
  const name = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  await page.keyboard.press("Enter");
  await until(page, (text) => document.querySelector(".flame g").getAttribute("aria-label") === text, name, "the frame as the whole");
  await page.keyboard.press("Escape");
  await until(page, () => document.querySelector(".flame g").getAttribute("aria-label").startsWith("all:"), null, "the whole again");
  await page.keyboard.press("ArrowUp"); // leads nowhere
  await page.getByRole("searchbox", { name: "find" }).fill("epoll");
  await page.getByText(/^\d+(\.\d+)? % of the time$/).waitFor({ timeout: WAIT_MS });
  check((await page.evaluate(() => document.activeElement.type)) === "search", "who searches loses the focus");
});

test("with data, too, nothing is cut off on a phone, in light and dark", async ({ node, page }) => {
  await page.setViewportSize({ width: 390, height: 800 });
  for (const colours of ["light", "dark"]) {
    if (colours === "dark") await page.getByRole("button", { name: "dark colours", exact: true }).click();
    for (const view of ["overview", "cache", "jobs", "system", "budgets", "tune", "benchmarks", "profile"]) {
      await show(node, page, view);
      await page.waitForTimeout(700);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      check(over <= 0, `${view} is ${over} pixels too wide`);
      const cut = await page.evaluate(() => [...document.querySelectorAll("nav a, header *, h3, .figure, caption span, .foot")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.textContent));
      check(cut.length === 0, `${view}: cut off: ${cut.join(" | ")}`);
      await shot(page, `phone-${colours}-${view}`);
    }
  }
});

test("every view by the keyboard alone", async ({ node, page }) => {
  await show(node, page, "overview");
  const focus = () => page.evaluate(() => document.activeElement.textContent.trim());
  for (const name of ["Cache", "Jobs", "System", "Budgets", "Opportunities", "Benchmarks", "Profile"]) {
    for (let i = 0; i < 60 && (await focus()) !== name; i++) await page.keyboard.press("Tab");
    check((await focus()) === name, `Tab does not reach ${name}`);
    await page.keyboard.press("Enter");
    await until(page, (title) => document.title.includes(title), name, `the title of ${name}`);
    const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    check(ring !== "none", `${name} has the focus, but nobody sees it`);
  }
});

const node = new Node();
const budgets = join(node.folder, "budgets.yaml");
writeFileSync(budgets, BUDGETS);
node.settings = ["--set", `serve.budgets=${budgets}`];
node.threads = 2;
await main(node, async () => {
  await benchmarks(node);
  await runs(node);
  await jobs(node);
  await node.keys(3000);
});
