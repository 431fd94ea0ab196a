// What the browser cases share: a node of their own, commands of brisk beside it, waiting, screenshots, and the
// run of all cases, in which nothing may be asked of anybody else and the console stays empty.
//
//   node test_X.mjs BRISK MODULES [FOLDER FOR SCREENSHOTS]
//
// MODULES is where playwright-core was installed.  The last line counts the cases.
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const [brisk, modules, shots] = process.argv.slice(2);
const { chromium } = createRequire(resolve(modules, "package.json"))("playwright-core");
const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
export const WAIT_MS = 30000; // for what must come; nobody asserts how fast

const cases = [];
export const test = (name, run) => cases.push([name, run]);

export function check(condition, text) {
  if (!condition) throw new Error(text);
}

/** A node on a free port, or on the one it had; its folder has all that it keeps. */
export class Node {
  constructor(settings = []) {
    this.settings = settings;
    this.folder = mkdtempSync(join(tmpdir(), "brisk-web-"));
    this.port = 0;
    this.threads = 1;
    this.env = { ...process.env, XDG_RUNTIME_DIR: this.folder, XDG_CACHE_HOME: this.folder, XDG_STATE_HOME: this.folder, XDG_CONFIG_HOME: this.folder, XDG_DATA_HOME: this.folder };
  }

  /** A command of brisk, of the same user as the node; gives what it printed. */
  async command(...words) {
    const { stdout } = await promisify(execFile)(resolve(brisk), words, { env: this.env, cwd: this.folder });
    return stdout;
  }

  /** One statement of SQL on what the node's user keeps, once with each of `rows`; each changes one row. */
  async history(sql, rows) {
    const run = "import json, sqlite3, sys\nwith sqlite3.connect(sys.argv[1], timeout=30) as db:\n    print(sum(db.execute(sys.argv[2], row).rowcount for row in json.loads(sys.argv[3])))";
    const { stdout } = await promisify(execFile)("python3", ["-c", run, join(this.folder, "brisk", "history.sqlite3"), sql, JSON.stringify(rows)]);
    check(Number(stdout) === rows.length, `${stdout.trim()} rows changed: ${sql}`);
  }

  async start() {
    this.process = spawn(brisk, ["serve", "--foreground", "--listen", `127.0.0.1:${this.port}`, "--threads", String(this.threads), ...this.settings], {
      env: this.env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    await new Promise((done, fail) => {
      this.process.stderr.on("data", (data) => {
        said += data;
        const found = /ready at 127\.0\.0\.1:(\d+).*\n/.exec(said);
        if (found) {
          this.port = Number(found[1]);
          done();
        }
      });
      this.process.once("exit", (code) => fail(new Error(`brisk serve ended with ${code}: ${said}`)));
    });
    this.origin = `http://127.0.0.1:${this.port}`;
    const file = /token ([^,)\n]+)/.exec(said);
    check(file, `no token is named: ${said}`);
    this.token = readFileSync(file[1], "utf8").trim();
  }

  async stop() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = new Promise((done) => this.process.once("exit", done));
    this.process.kill("SIGTERM");
    await ended;
  }

  /** The end of it and of what it kept. */
  async remove() {
    await this.stop().catch(() => {});
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Commands of Redis, one connection. */
  async redis(lines) {
    await new Promise((done, fail) => {
      const socket = connect(this.port, "127.0.0.1", () => socket.write(lines.map((line) => `${line}\r\n`).join("")));
      let replies = 0;
      socket.on("data", (data) => {
        replies += data.toString("latin1").split("\r\n").length - 1;
        if (replies >= lines.length) socket.end();
      });
      socket.on("close", done);
      socket.on("error", fail);
    });
  }

  /** Changes need the token. */
  async change(method, path, body) {
    const answer = await fetch(this.origin + path, {
      method, body: JSON.stringify(body), headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json", prefer: "wait=30" },
    });
    check(answer.status < 300, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
    return answer;
  }

  /** Many keys with a few that are asked for often, so that there is a curve. */
  async keys(count) {
    const lines = [];
    for (let i = 0; i < count; i++) lines.push(`SET key:${i} ${"v".repeat(50)}`, `GET key:${i % 37}`, `GET key:${i}`);
    await this.redis(lines);
  }

  async traffic(rounds = 20) {
    for (let i = 0; i < rounds; i++) {
      await this.redis([`SET web:${i} ${"x".repeat(100)}`, `SET web:${i} y`, `EXISTS web:${i}`, `EXISTS none:${i}`]);
      await fetch(`${this.origin}/v1/cache/web:${i}`).then((answer) => answer.arrayBuffer());
      await fetch(`${this.origin}/health`).then((answer) => answer.arrayBuffer());
    }
  }
}

/** Wait until `fn(arg)` is true in the page; by asking, since the page's policy lets nobody evaluate text there. */
export async function until(page, fn, arg, what) {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    if (await page.evaluate(fn, arg)) return;
    if (Date.now() > end) throw new Error(`it did not come: ${what}`);
    await page.waitForTimeout(100);
  }
}

/** The figure under a label, once it is more than a dash. */
export async function figure(page, label) {
  const cell = page.locator(".figure", { has: page.locator("dt", { hasText: new RegExp(`^${label}$`) }) }).locator("dd");
  await until(page, (name) => [...document.querySelectorAll(".figure")].some((one) => one.querySelector("dt").textContent === name && !/^(–|0\/s)$/.test(one.querySelector("dd").textContent)), label, `a figure of ${label}`);
  return cell.textContent();
}

export async function shot(page, name) {
  if (shots) {
    mkdirSync(shots, { recursive: true });
    await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
  }
}

async function run([name, body], browser, node) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const problems = [];
  const own = [];
  /** A node of this case's own.  It outlives the page, which would complain of a node that is gone. */
  const another = async (settings) => {
    own.push(new Node(settings));
    await own.at(-1).start();
    return own.at(-1);
  };
  const expected = { failures: false };
  page.on("console", (message) => {
    if (message.type() === "error" && !expected.failures) problems.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => problems.push(`page: ${error.message}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.hostname !== "127.0.0.1" && url.protocol !== "data:") problems.push(`asked elsewhere: ${url}`);
  });
  try {
    await body({ node, another, page, expected, context });
    check(problems.length === 0, problems.join("\n  "));
    console.log(`ok ${name}`);
    return true;
  } catch (error) {
    console.log(`FAILED ${name}: ${error.message}${problems.length > 0 ? `\n  ${problems.join("\n  ")}` : ""}`);
    await shot(page, `failed-${name.replaceAll(/\W+/g, "-")}`);
    return false;
  } finally {
    await context.close();
    for (const one of own) await one.remove();
  }
}

async function launch() {
  let why;
  for (const executablePath of BROWSERS) {
    try {
      return await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
    } catch (error) {
      why = error;
    }
  }
  throw why;
}

/** Run every case with `node`, which `prepare` gets before its first one; ends the process. */
export async function main(node, prepare = async () => {}) {
  const browser = await launch();
  const only = new RegExp(process.env.BRISK_WEB_ONLY ?? ""); // names of cases, for who works on one
  const chosen = cases.filter(([name]) => only.test(name));
  let failed = 0;
  try {
    await node.start();
    if (chosen.length > 0) await prepare(node);
    for (const one of chosen) failed += (await run(one, browser, node)) ? 0 : 1;
  } finally {
    await browser.close();
    await node.remove();
  }
  console.log(`${chosen.length - failed} passed, ${failed} failed, 0 skipped`);
  process.exit(failed === 0 ? 0 : 1);
}
