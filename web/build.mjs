// Builds the page into dist/: scripts bundled, models and runtime compressed, everything named in the service worker.
// The phantoms lie there already (see the Makefile).
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { Zstd } from "@hpcc-js/wasm-zstd";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
const weights = join(here, "..", "weights");
const runtime = join(here, "node_modules", "onnxruntime-web", "dist");
const PHANTOMS = [
  { file: "2DBox_CT_phantom", title: "CT slice" },
  { file: "3DBox_CT_phantom", title: "CT volume" },
  { file: "2DBox_US_phantom", title: "Ultrasound" },
  { file: "2DBox_Dermoscopy_phantom", title: "Skin lesion" },
];

const bundled = new Set(); // the packages that are in it
const bundle = async (entryPoints, define) => {
  const { metafile } = await build({
    entryPoints,
    outdir: dist,
    define,
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "es2022",
    conditions: ["onnxruntime-web-use-extern-wasm"], // its WebAssembly stays a file of its own
    loader: { ".wasm": "binary" },
    external: ["fs", "path"], // which codecs ask for in Node.js alone
    legalComments: "linked",
    logLevel: "warning",
    absWorkingDir: here,
    metafile: true,
  });
  for (const path of Object.keys(metafile.inputs)) {
    const name = /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1];
    if (name) bundled.add(name);
  }
};

const listed = async () =>
  (await readdir(dist, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dist.length + 1))
    .sort();

/** A package's licence in its own words, where it has some. */
async function licenceOf(name) {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).find((path) => /^licen[cs]e/i.test(path));
  return [`${name} ${version} (${license})`, file ? await readFile(join(folder, file), "utf8") : ""].join("\n\n");
}

/** ONNX Runtime, a third smaller than gzip makes it; kept, since that takes half a minute. */
async function packedRuntime() {
  const kept = join(here, "node_modules", ".cache", "ort-wasm-simd-threaded.wasm.zst");
  if (!existsSync(kept)) {
    const zstd = await Zstd.load();
    const packed = zstd.compress(await readFile(join(runtime, "ort-wasm-simd-threaded.wasm")), zstd.maxCLevel());
    await mkdir(dirname(kept), { recursive: true });
    await writeFile(`${kept}.part`, packed);
    await rename(`${kept}.part`, kept);
  }
  return readFile(kept);
}

for (const file of await listed()) if (!file.startsWith("phantoms/")) await rm(join(dist, file));
await mkdir(join(dist, "models"), { recursive: true });
const write = async (to, data) => {
  await writeFile(join(dist, to), data);
  return data;
};
const gzipped = async (model) => gzipSync(await readFile(join(weights, model)), { level: 9 });
await write("models/volume_decoder.onnx.gz", await gzipped("volume_decoder.onnx"));
const large = {
  "models/encoder.onnx.gz": await gzipped("encoder.onnx"),
  "models/decoder.onnx.gz": await gzipped("decoder.onnx"),
  "ort-wasm-simd-threaded.wasm.zst": await packedRuntime(),
};
let bytes = 0; // without which there is no mask
const hashOfLarge = createHash("sha256");
for (const [to, small] of Object.entries(large)) {
  bytes += small.length;
  hashOfLarge.update(await write(to, small));
}
const MODELS_CACHE = JSON.stringify(`qmedsam-models-${hashOfLarge.digest("hex").slice(0, 16)}`);
await cp(join(runtime, "ort-wasm-simd-threaded.mjs"), join(dist, "ort-wasm-simd-threaded.mjs"));
await cp(join(here, "public"), dist, { recursive: true });
const headers = await readFile(join(here, "public", "headers.json"), "utf8");
const policy = JSON.parse(headers)["Content-Security-Policy"].replace(/; frame-ancestors[^;]*/, ""); // not for a page to say
await writeFile(join(dist, "index.html"), (await readFile(join(here, "index.html"), "utf8")).replace("%POLICY%", policy));
await cp(join(here, "..", "LICENSE"), join(dist, "LICENSE.txt"));
await cp(join(weights, "LICENSE.md"), join(dist, "LICENSE-weights.md"));
await bundle(["src/app/main.ts"].map((path) => ({ in: path, out: "app" })), {
  DOWNLOAD_BYTES: String(bytes),
  PHANTOMS: JSON.stringify(PHANTOMS),
});
await bundle(["src/workers/model.ts", "src/workers/files.ts"].map((path) => ({ in: path, out: path.slice(12, -3) })), {
  MODELS_CACHE,
});

const files = (await listed()).filter((file) => file !== "sw.js" && !file.endsWith(".txt"));
const hash = createHash("sha256");
for (const file of files) hash.update(await readFile(join(dist, file)));
await bundle([{ in: "src/sw.ts", out: "sw" }], {
  VERSION: JSON.stringify(hash.digest("hex").slice(0, 16)),
  MODELS_CACHE,
  FILES: JSON.stringify(["./", ...files.filter((file) => file !== "index.html" && !(file in large) && !file.endsWith(".npz"))]),
  HEADERS: headers,
});
const licences = await Promise.all([...bundled].sort().map(licenceOf));
await writeFile(join(dist, "THIRD-PARTY.txt"), licences.join(`\n\n${"-".repeat(80)}\n\n`));
let total = 0;
for (const file of await listed()) total += (await readFile(join(dist, file))).length;
console.log(`web/dist: ${(total / 1e6).toFixed(1)} MB, of which ${(bytes / 1e6).toFixed(1)} MB are models and their runtime`);
