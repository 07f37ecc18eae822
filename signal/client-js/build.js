// Builds what is served and packed: dist/heliograph.js and its types. With `--check`: fails if that
// would change anything. With `--modules`: builds the modules one by one, for the tests.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

process.chdir(import.meta.dirname);
const [mode] = process.argv.slice(2);
const BUILT = ["dist", "types"];
const common = { format: "esm", target: "es2022", logLevel: "warning", charset: "utf8" };

if (mode === "--modules") {
  rmSync("build", { recursive: true, force: true });
  const sources = files("src").filter((name) => name.endsWith(".ts"));
  await build({ ...common, entryPoints: sources, outdir: "build", outbase: "src" });
} else {
  const before = mode === "--check" ? built() : null;
  for (const folder of BUILT) rmSync(folder, { recursive: true, force: true });
  const banner = { js: "// Heliograph's TypeScript SDK: docs/sdk-js.md. MIT OR Apache-2.0" };
  const options = { entryPoints: ["src/index.ts"], outfile: "dist/heliograph.js", bundle: true };
  await build({ ...common, ...options, banner });
  execFileSync("node_modules/.bin/tsc", { stdio: "inherit" });
  if (before && JSON.stringify(built()) !== JSON.stringify(before)) {
    console.error("dist or types weren't what src builds: commit what they are now");
    process.exit(1);
  }
}

function files(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  const names = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  return names.sort();
}

function built() {
  return BUILT.flatMap(files).map((name) => [name, readFileSync(name, "utf8")]);
}
