/** The page's masks against the runtime's: mean Dice over the cases of a folder. See docs/web.md. */

import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";

import { Box, Plane } from "../src/core/geometry";
import { inConvention, segmentCase } from "../src/core/objects";
import { Canvas, advantage } from "../src/core/paint";
import { ModelPair } from "../src/core/pair";
import { segmentVolume } from "../src/core/volume";
import { NpyArray, readNpz } from "../src/io/npz";
import { loadModels } from "./models";

export interface Agreement {
  readonly name: string;
  readonly dice: number[]; // of each object
}

const WORTH_TELLING = 0.99;

/** Dice of each object of each case against the masks in `masks`. */
export async function compare(model: ModelPair, cases: string, masks: string, names: string[]): Promise<Agreement[]> {
  const all: Agreement[] = [];
  for (const name of names) {
    const arrays = readNpz(await readFile(join(cases, name)));
    const imgs = arrays.get("imgs")!;
    const table = arrays.get("boxes")!;
    const [count, columns] = table.shape;
    const boxes = Array.from({ length: count }, (_, i) => [...table.data.slice(columns * i, columns * (i + 1))]);
    const ours = await (columns === 6 ? segsOfVolume : segsOfPicture)(model, imgs, boxes);
    const theirs = readNpz(await readFile(join(masks, name))).get("segs")!.data;
    all.push({ name, dice: boxes.map((_, i) => dice(ours, theirs, i + 1)) });
  }
  return all;
}

function segsOfPicture(model: ModelPair, imgs: NpyArray, boxes: number[][]): Promise<Uint16Array> {
  const [height, width, channels = 1] = imgs.shape;
  const data = imgs.data as Uint8Array;
  return segmentCase(model, { height, width, channels: channels as 1 | 3, data }, boxes as unknown as Box[]);
}

async function segsOfVolume(model: ModelPair, imgs: NpyArray, boxes: number[][]): Promise<Uint16Array> {
  const [depth, height, width] = imgs.shape;
  const size = height * width;
  const data = imgs.data as Uint8Array;
  const plane = (z: number): Plane => ({ height, width, channels: 1, data: data.subarray(z * size, (z + 1) * size) });
  const marked = boxes.map(([x0, y0, z0, x1, y1, z1]) => ({ box: [x0, y0, x1, y1] as const, first: z0, last: z1 }));
  const advantages = marked.map(({ box }) => advantage(inConvention(box, height, width, model.metadata)));
  const canvases = Array.from({ length: depth }, () => new Canvas(height, width));
  await segmentVolume(model, { depth, height, width, plane }, marked, false, {
    found: (object, z, found) => canvases[z].paint(object + 1, found, advantages[object]),
    step: () => undefined,
    stopped: () => false,
  });
  const segs = new Uint16Array(depth * size);
  canvases.forEach(({ labels }, z) => segs.set(labels, z * size));
  return segs;
}

/** Dice of the label in two maps; 1 where neither has it. */
export function dice(a: ArrayLike<number>, b: ArrayLike<number>, label: number): number {
  let [both, sum] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const [inA, inB] = [a[i] === label, b[i] === label];
    sum += Number(inA) + Number(inB);
    both += Number(inA && inB);
  }
  return sum ? (2 * both) / sum : 1;
}

/** The mean over cases of the mean over a case's objects. */
export const meanDice = (all: readonly Agreement[]): number => mean(all.map(({ dice }) => mean(dice)));

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

if (process.argv[1]?.endsWith("parity.mjs")) {
  const [cases, masks] = process.argv.slice(2);
  const names = (await readdir(masks)).filter((name) => name.endsWith(".npz")).sort();
  const model = await loadModels();
  for (const kind of ["2D", "3D"]) {
    const all = await compare(model, cases, masks, names.filter((name) => name.startsWith(kind)));
    for (const { name, dice } of all.filter(({ dice }) => mean(dice) < WORTH_TELLING)) {
      console.log(`${name}: ${dice.length} objects, mean ${mean(dice).toFixed(4)}, least ${Math.min(...dice).toFixed(4)}`);
    }
    console.log(`${kind}: ${all.length} cases, mean Dice ${meanDice(all).toFixed(4)}`);
  }
}
