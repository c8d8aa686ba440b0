// Bundles the tests for Node, which then run what the browser runs.
import { readdir } from "node:fs/promises";

import { build } from "esbuild";

const COMMANDS = ["parity.ts", "show.ts"];
const here = new URL(".", import.meta.url).pathname;
const entries = (await readdir(here)).filter((name) => name.endsWith(".test.ts") || COMMANDS.includes(name));
await build({
  entryPoints: entries.map((name) => here + name),
  outdir: `${here}built`,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  loader: { ".wasm": "binary" },
  define: { __dirname: '""' }, // which CommonJS has; the codecs ask for it
  external: ["onnxruntime-web", "playwright-core", "axe-core"],
  banner: { js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);' }, // for CommonJS
  sourcemap: "inline",
  logLevel: "warning",
});
