/** The models that ship, in Node: the same code and the same WebAssembly as in the browser. */

import { readFile } from "node:fs/promises";

import * as ort from "onnxruntime-web/wasm";

import { ModelPair } from "../src/core/pair";

const WEIGHTS = new URL("../../../weights/", import.meta.url);

export function loadModels(): Promise<ModelPair> {
  ort.env.wasm.numThreads = 1;
  return ModelPair.load(ort, async (name) => new Uint8Array(await readFile(new URL(name, WEIGHTS))));
}
