/** NumPy's npz: an archive of arrays. Objects, which would have to be unpickled, are refused. */

import { unzipSync, zipSync } from "fflate";

export type Numbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

export interface NpyArray {
  readonly shape: readonly number[];
  readonly data: Numbers;
}

const MAGIC = "\x93NUMPY";
const KINDS = {
  u1: Uint8Array,
  i1: Int8Array,
  b1: Uint8Array,
  u2: Uint16Array,
  i2: Int16Array,
  u4: Uint32Array,
  i4: Int32Array,
  f4: Float32Array,
  f8: Float64Array,
};

/** The arrays of an npz file by name; 64-bit whole numbers become floating point. */
export function readNpz(file: Uint8Array): Map<string, NpyArray> {
  const arrays = new Map<string, NpyArray>();
  for (const [name, entry] of Object.entries(unzipSync(file))) {
    if (name.endsWith(".npy")) arrays.set(name.slice(0, -4), readNpy(entry));
  }
  return arrays;
}

function readNpy(file: Uint8Array): NpyArray {
  if (latin(file.subarray(0, 6)) !== MAGIC) throw new Error("not a NumPy array");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const wide = file[6] > 1; // version 2 has a longer length
  const start = wide ? 12 : 10;
  const end = start + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = latin(file.subarray(start, end));
  const kind = /'descr': '([<|=>])([a-z]\d)'/.exec(header);
  const shape = /'shape': \(([^)]*)\)/.exec(header)?.[1].split(",").filter((side) => side.trim()).map(Number);
  if (!kind || !shape || kind[1] === ">" || header.includes("'fortran_order': True")) {
    throw new Error(`an array in a form that is not read here (${header.trim()})`);
  }
  const size = shape.reduce((product, side) => product * side, 1);
  const bytes = file.slice(end, end + size * Number(kind[2][1]));
  if (bytes.length < size * Number(kind[2][1])) throw new Error("an array that ends early");
  return { shape, data: numbers(kind[2], bytes.buffer) };
}

function numbers(kind: string, buffer: ArrayBuffer): Numbers {
  if (kind === "i8" || kind === "u8") {
    const whole = kind === "i8" ? new BigInt64Array(buffer) : new BigUint64Array(buffer);
    return Float64Array.from(whole as BigInt64Array, Number);
  }
  if (!(kind in KINDS)) throw new Error(`an array of a kind that is not read here (${kind})`);
  return new KINDS[kind as keyof typeof KINDS](buffer);
}

/** An npz file of these arrays, compressed. */
export function writeNpz(arrays: Readonly<Record<string, NpyArray>>): Uint8Array {
  return zipSync(Object.fromEntries(Object.entries(arrays).map(([name, array]) => [`${name}.npy`, writeNpy(array)])));
}

function writeNpy({ shape, data }: NpyArray): Uint8Array {
  const kind = Object.keys(KINDS).find((key) => KINDS[key as keyof typeof KINDS] === data.constructor)!;
  const descr = `${kind.endsWith("1") ? "|" : "<"}${kind}`;
  const sides = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sides}), }`;
  const padded = header.padEnd(Math.ceil((10 + header.length + 1) / 64) * 64 - 11) + "\n";
  const file = new Uint8Array(10 + padded.length + data.byteLength);
  file.set(Uint8Array.from(`${MAGIC}\x01\x00`, (letter) => letter.charCodeAt(0)));
  new DataView(file.buffer).setUint16(8, padded.length, true);
  file.set(new TextEncoder().encode(padded), 10);
  file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + padded.length);
  return file;
}

const latin = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
