/** Runs the models where the page need not wait: encodes slices once, answers boxes, follows objects through volumes. */

import * as ort from "onnxruntime-web/wasm";

import { Box, Plane } from "../core/geometry";
import { EncodedImage } from "../core/objects";
import { ModelPair } from "../core/pair";
import { Found } from "../core/resample";
import { Marked, segmentVolume } from "../core/volume";
import { allKept, download } from "./download";
import { Layer, layerOf } from "./layer";
import { Send, connect } from "./rpc";

const MOST_THREADS = 4; // more do not make such small models faster; half of the cores are left to others
const KEPT_IMAGES = 8; // encoded slices, 2.4 MB each and a little more

export interface Answer {
  readonly layer: Layer | null;
  readonly score: number; // the IoU with the object that the model expects, 0..1
  readonly isFinal: boolean; // else a sharper one follows, from the window that magnifies the object
}

export interface FoundOnSlice {
  readonly object: number;
  readonly z: number;
  readonly layer: Layer;
}

let model: Promise<ModelPair> | null = null;
let stopped = false;
const images = new Map<string, Promise<EncodedImage>>();

const call = connect(self as unknown as Worker, {
  /** Download and load the models; sends the bytes that have arrived. */
  async load(_: unknown, send: Send) {
    model = start((bytes) => send(bytes));
    await model;
  },

  /** Encode a slice, unless that was done. The page hands over its pixels where they are asked for. */
  async encode({ key }: { key: string }) {
    await (await encoded(key)).encode();
  },

  /** Segment one box, by the indices of its pixels; sends what the whole image shows while a window is encoded. */
  async segment({ key, box }: { key: string; box: Box }, send: Send): Promise<Answer> {
    const image = await encoded(key);
    const window = image.windowOf(box);
    const answer = async (on: typeof window, isFinal: boolean): Promise<Answer> => {
      const { found, score } = await image.segment(box, on);
      return { layer: found && layerOf(found), score, isFinal };
    };
    if (window) send(await answer(null, false));
    return answer(window, true);
  },

  /** Follow objects through a volume; sends what is found, and fractions that are done. */
  async follow({ size, objects, find, key }: Follow, send: Send) {
    stopped = false;
    const plane = (z: number): Promise<Plane> => call<Plane>("plane", { key: `${z}${key}` });
    await segmentVolume(await model!, { ...size, plane }, objects, find, {
      found: (object: number, z: number, found: Found) => send({ object, z, layer: layerOf(found) } satisfies FoundOnSlice),
      step: (fraction) => send(fraction),
      stopped: () => stopped,
    });
    return { stopped };
  },

  stop() {
    stopped = true;
  },
});

export interface Follow {
  readonly size: { readonly depth: number; readonly height: number; readonly width: number };
  readonly objects: readonly Marked[];
  readonly find: boolean;
  readonly key: string;
}

function encoded(key: string): Promise<EncodedImage> {
  let image = images.get(key);
  if (!image) {
    image = Promise.all([model!, call<Plane>("plane", { key })]).then(([pair, plane]) => new EncodedImage(pair, plane));
    image.catch(() => images.delete(key));
  }
  images.delete(key); // the latest comes last
  images.set(key, image);
  if (images.size > KEPT_IMAGES) images.delete(images.keys().next().value!);
  return image;
}

async function start(onBytes: (bytes: number) => void): Promise<ModelPair> {
  let arrived = 0;
  const read = (path: string): Promise<Uint8Array> =>
    download(path, (bytes) => onBytes((arrived += bytes)));
  ort.env.wasm.wasmPaths = { mjs: new URL("ort-wasm-simd-threaded.mjs", self.location.href).href };
  ort.env.wasm.numThreads = self.crossOriginIsolated ? threadsOf(navigator.hardwareConcurrency) : 1;
  const binary = read("ort-wasm-simd-threaded.wasm.zst");
  const files = new Map(["encoder.onnx", "decoder.onnx"].map((name) => [name, read(`models/${name}.gz`)]));
  ort.env.wasm.wasmBinary = await binary;
  const pair = await ModelPair.load(ort, (name) => files.get(name) ?? read(`models/${name}.gz`));
  await Promise.all([warmUp(pair), allKept()]);
  return pair;
}

const threadsOf = (cores: number): number => Math.min(MOST_THREADS, Math.max(1, cores >> 1));

/** The first run of each model takes several times as long as the next. */
async function warmUp(pair: ModelPair): Promise<void> {
  const side = pair.metadata.inputSize;
  await pair.decode(await pair.encode(new Float32Array(3 * side * side)), [[0, 0, side, side]]);
}
