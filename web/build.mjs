// Bundle the dashboard: src/main.tsx and its styles into index.html, app.js and app.css, and their
// gzip forms, which the node embeds.  Fails when they are together larger than what the page may weigh.
//
//   node build.mjs SOURCE MODULES OUT
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { constants, gzipSync } from "node:zlib";

const WEIGHT_MAX = 150 * 1024;

const [source, modules, out] = process.argv.slice(2).map((path) => resolve(path));
mkdirSync(out, { recursive: true });

/** Whose work is in the page, and on what terms: these go with every copy. */
function notices() {
  const texts = ["preact", "uplot"].map((name) => `${name}\n${readFileSync(join(modules, name, "LICENSE"), "utf8").trim()}`);
  return `/*!\n${texts.join("\n\n").replaceAll("*/", "* /")}\n*/`;
}
await build({
  entryPoints: [join(source, "src/main.tsx")],
  outfile: join(out, "app.js"),
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome108", "firefox115", "safari16"],
  jsx: "automatic",
  jsxImportSource: "preact",
  nodePaths: [modules],
  legalComments: "eof",
  footer: { js: notices() },
  logLevel: "warning",
});
copyFileSync(join(source, "src/index.html"), join(out, "index.html"));

let weight = 0;
for (const name of readdirSync(out).filter((file) => /\.(html|js|css)$/.test(file))) {
  const packed = gzipSync(readFileSync(join(out, name)), { level: constants.Z_BEST_COMPRESSION });
  packed[9] = 255; // the system's name in the header: the same bytes everywhere
  writeFileSync(join(out, `${name}.gz`), packed);
  weight += packed.length;
}
if (weight > WEIGHT_MAX) {
  console.error(`dashboard: ${weight} bytes compressed, more than ${WEIGHT_MAX}`);
  process.exit(1);
}
console.log(`dashboard: ${weight} bytes compressed`);
