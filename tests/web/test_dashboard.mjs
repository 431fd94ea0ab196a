// The dashboard in a real browser against a real node: figures flow, views open, clicks do what they say, a
// connection that is lost comes back, nothing is asked of anybody else, and the console stays empty.
//
//   node test_dashboard.mjs BRISK MODULES [FOLDER FOR SCREENSHOTS]
import { Node, WAIT_MS, check, figure, main, shot, test, until } from "./lib.mjs";

const GROWTH_ROUNDS = Number(process.env.BRISK_WEB_ROUNDS ?? 8); // each walks through all views

test("real figures flow", async ({ node, page }) => {
  await page.goto(node.origin);
  await page.waitForSelector("p.link.live", { timeout: WAIT_MS });
  await node.traffic();
  check(/\d/.test(await figure(page, "Requests")), "no rate of requests");
  check(/\d/.test(await figure(page, "Memory")), "no memory");
  await until(page, () => document.querySelectorAll(".chart canvas").length >= 4, null, "four charts");
  const before = await page.locator("section[aria-label='Throughput'] [role=img]").getAttribute("aria-label");
  await node.traffic();
  await until(page, (old) => document.querySelector("section[aria-label='Throughput'] [role=img]").getAttribute("aria-label") !== old, before, "new figures in the chart");
  await shot(page, "overview");
});

test("every view opens by a click, by the keyboard and by its address", async ({ node, page }) => {
  await page.goto(node.origin);
  const names = await page.locator("nav a").allTextContents();
  check(names.length >= 8, `only ${names.length} views`);
  for (const name of names) {
    await page.getByRole("link", { name, exact: true }).click();
    await until(page, (title) => document.title.includes(title), name, `the title of ${name}`);
    check((await page.locator("nav a[aria-current=page]").textContent()) === name, `${name} is not marked`);
    await page.waitForTimeout(300);
    await shot(page, `view-${name.toLowerCase()}`);
  }
  await page.goto(`${node.origin}/#/cache`);
  await page.reload();
  await page.waitForSelector("text=Tiers", { timeout: WAIT_MS });
  await page.locator("nav a").first().focus();
  await page.keyboard.press("Enter");
  await until(page, () => document.title.includes("Overview"), null, "the first view");
});

test("a node nobody asks says what to do, in each view", async ({ another, page }) => {
  const fresh = await another();
  const next = {
    overview: "redis-cli -p", cache: "/v1/cache/name", jobs: "/v1/jobs", budgets: "brisk serve --set serve.budgets=",
    tune: "brisk history opportunities", benchmarks: "brisk bench", profile: "The button above",
  };
  for (const [view, words] of Object.entries(next)) {
    await page.goto(`${fresh.origin}/#/${view}`);
    await page.waitForSelector("p.link.live", { timeout: WAIT_MS });
    await page.locator(".empty", { hasText: words }).waitFor({ timeout: WAIT_MS });
    await shot(page, `empty-${view}`);
  }
  const gone = await page.evaluate(() => [...document.querySelectorAll(".empty")].filter((one) => one.textContent.trim() === "").length);
  check(gone === 0, "an empty state says nothing");
});

test("what is lost comes back", async ({ node, page, expected }) => {
  await page.goto(node.origin);
  await page.waitForSelector("p.link.live", { timeout: WAIT_MS });
  expected.failures = true; // the browser says that it cannot connect
  await node.stop();
  await page.waitForSelector("p.link.lost", { timeout: WAIT_MS });
  await shot(page, "lost");
  await node.start();
  await page.waitForSelector("p.link.live", { timeout: 2 * WAIT_MS });
  expected.failures = false;
  await node.traffic(5);
  await figure(page, "Memory");
});

test("dark and light, kept over a reload", async ({ node, page }) => {
  await page.goto(node.origin);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByRole("button", { name: "dark colours", exact: true }).click();
  const dark = await ground();
  check(light !== dark, "nothing changed");
  await page.reload();
  await page.waitForSelector("header");
  check((await ground()) === dark, "not kept");
  await shot(page, "dark");
});

test("fits a phone", async ({ node, page }) => {
  await page.setViewportSize({ width: 390, height: 800 });
  for (const view of ["overview", "cache", "jobs", "system", "budgets", "tune", "benchmarks", "profile"]) {
    await page.goto(`${node.origin}/#/${view}`);
    await page.waitForTimeout(300);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(over <= 0, `${view} is ${over} pixels too wide`);
  }
  await page.goto(node.origin);
  await shot(page, "phone");
});

test("the curve of misses is drawn once keys were asked for", async ({ node, page }) => {
  await page.goto(`${node.origin}/#/cache`);
  await node.keys(3000);
  const chart = page.locator("section[aria-label='Misses by size of the memory tier']");
  await chart.locator("canvas").waitFor({ state: "visible", timeout: WAIT_MS });
  check(/misses? \d|miss \d/.test(await chart.locator("[role=img]").getAttribute("aria-label")), "the curve has no figure");
  await page.waitForSelector("text=What the curve advises", { timeout: WAIT_MS });
  await page.waitForTimeout(300);
  await shot(page, "curve");
});

test("a job appears, and its pipeline with the critical path is drawn", async ({ node, page }) => {
  await page.goto(`${node.origin}/#/jobs`);
  await page.waitForSelector("p.link.live", { timeout: WAIT_MS });
  const patch = Buffer.from("PATCH\0\0\x01\0\x02hiEOF", "latin1").toString("base64");
  const answer = await node.change("POST", "/v1/jobs", { workload: "rom", request: { rom: { base64: "MDEyMzQ1Njc4OQ==" }, mods: [{ base64: patch }] } });
  const id = /jobs\/([^/]+)/.exec(answer.headers.get("location"))[1];
  const row = page.locator("tr", { hasText: id });
  await row.waitFor({ timeout: WAIT_MS });
  await page.locator("tr", { hasText: id }).getByText("succeeded").waitFor({ timeout: WAIT_MS });
  await row.getByRole("button").click();
  await page.waitForSelector(".waterfall rect.critical", { timeout: WAIT_MS });
  const stages = await page.locator(".waterfall [role=listitem]").evaluateAll((rows) => rows.map((one) => one.getAttribute("aria-label")));
  check(stages.some((text) => text.startsWith("rom_patching: computed")) && stages.some((text) => text.includes("on the critical path")), stages.join("\n"));
  const again = await node.change("POST", "/v1/jobs", { workload: "rom", request: { rom: { base64: "MDEyMzQ1Njc4OQ==" }, mods: [{ base64: patch }] } });
  const second = /jobs\/([^/]+)/.exec(again.headers.get("location"))[1];
  await page.locator("tr", { hasText: second }).getByRole("button").click({ timeout: WAIT_MS });
  await page.waitForSelector("text=answered by memory", { timeout: WAIT_MS });
  await shot(page, "jobs");
});

test("another stretch of time", async ({ node, page }) => {
  await page.goto(node.origin);
  await figure(page, "Memory");
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  for (const [name, step] of [["15m", 0], ["1h", 60], ["24h", 300], ["7d", 1800], ["5m", 0]]) {
    await page.getByLabel("time").selectOption(name);
    await page.waitForSelector("section[aria-label='Throughput'] canvas", { state: "visible", timeout: WAIT_MS });
    const end = Date.now() + WAIT_MS;
    while (step > 0 && !asked.some((url) => url.endsWith(`step=${step}`)) && Date.now() < end) await page.waitForTimeout(100);
    check(step === 0 || asked.some((url) => url.endsWith(`step=${step}`)), `${name}: not asked for`);
    await page.waitForTimeout(300);
    await shot(page, `range-${name}`);
  }
});

test("who needs a token is asked for it, once", async ({ another, page, expected }) => {
  const closed = await another(["--set", "serve.local_needs_token=true"]);
  expected.failures = true; // the browser says that it was refused
  await page.goto(closed.origin);
  await page.waitForSelector("section.locked", { timeout: WAIT_MS });
  let asked = 0;
  page.on("request", () => { asked++; });
  await page.waitForTimeout(3000);
  check(asked === 0, `asked ${asked} times without a token`);
  await shot(page, "locked");
  await page.locator("section.locked input").fill("wrong-token-0123456789");
  await page.locator("section.locked").getByRole("button", { name: "use" }).click();
  await page.waitForSelector("text=does not take this token", { timeout: WAIT_MS });
  await page.locator("section.locked input").fill(closed.token);
  await page.keyboard.press("Enter");
  await page.waitForSelector("p.link.live", { timeout: WAIT_MS });
  expected.failures = false;
  await figure(page, "Memory");
  await page.reload();
  await page.waitForSelector("p.link.live", { timeout: WAIT_MS });
});

test("a flame graph of the node, after the button", async ({ another, page }) => {
  const own = await another();
  await page.goto(`${own.origin}/#/profile`);
  const button = page.getByRole("button", { name: /Profile this node/ });
  await button.waitFor({ timeout: WAIT_MS });
  check(await button.isDisabled(), "it can be pressed without a token");
  await page.getByRole("button", { name: "token", exact: true }).click();
  await page.locator(".menu input").fill(own.token);
  await page.locator(".menu").getByRole("button", { name: "use" }).click();
  await page.waitForSelector("p.link.live", { timeout: WAIT_MS });
  await button.click({ timeout: WAIT_MS });
  const done = () => page.evaluate(() => document.querySelectorAll(".flame rect").length > 0 || /profile failed/.test(document.body.textContent));
  const end = Date.now() + 3 * WAIT_MS;
  while (!(await done()) && Date.now() < end) await own.keys(2000);
  if (/profile failed/.test(await page.textContent("body"))) {
    console.log(`  (nothing is drawn here: ${await page.locator(".problem").textContent()})`);
    return;
  }
  check((await page.locator(".flame rect").count()) > 0, "nothing was drawn");
  await shot(page, "flame");
  await page.locator(".flame g").nth(1).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "whole" }).click({ timeout: WAIT_MS });
});

test("an open page does not grow", async ({ node, page, context }) => {
  await page.goto(node.origin);
  await page.waitForSelector("p.link.live", { timeout: WAIT_MS });
  const session = await context.newCDPSession(page);
  await session.send("Performance.enable");
  const measure = async () => {
    await session.send("HeapProfiler.collectGarbage");
    const { metrics } = await session.send("Performance.getMetrics");
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  };
  const around = async () => {
    for (const view of ["cache", "jobs", "system", "budgets", "tune", "benchmarks", "profile", "overview"]) {
      await page.evaluate((name) => { location.hash = `#/${name}`; }, view);
      await page.waitForTimeout(250);
    }
    await node.traffic(3);
  };
  await around();
  const before = await measure();
  for (let i = 0; i < GROWTH_ROUNDS; i++) await around();
  const after = await measure();
  const grown = after.JSHeapUsedSize - before.JSHeapUsedSize;
  console.log(`  (heap ${(before.JSHeapUsedSize / 1e6).toFixed(2)} -> ${(after.JSHeapUsedSize / 1e6).toFixed(2)} MB, DOM nodes ${before.Nodes} -> ${after.Nodes}, listeners ${before.JSEventListeners} -> ${after.JSEventListeners})`);
  check(grown < 3e6, `the heap grew by ${grown} bytes`);
  check(after.Nodes < before.Nodes * 1.5 + 300, `${before.Nodes} DOM nodes became ${after.Nodes}`);
  check(after.JSEventListeners < before.JSEventListeners * 1.5 + 50, `${before.JSEventListeners} listeners became ${after.JSEventListeners}`);
});

test("every control has a name", async ({ node, page }) => {
  await page.goto(node.origin);
  await page.waitForSelector("nav a");
  const nameless = await page.evaluate(() => [...document.querySelectorAll("button, a, input, select, [role=img], [role=region], meter, progress")]
    .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML));
  check(nameless.length === 0, `without a name: ${nameless.join(" ")}`);
});

test("the notices of what is in the page go with it", async ({ node }) => {
  const text = await fetch(`${node.origin}/app.js`).then((answer) => answer.text());
  for (const name of ["Jason Miller", "Leon Sorokin"]) check(text.includes(name), `${name} is not named`);
});

test("it works at /dashboard/, too", async ({ node, page }) => {
  await page.goto(`${node.origin}/dashboard`);
  await page.waitForSelector("p.link.live", { timeout: WAIT_MS });
});

await main(new Node());
