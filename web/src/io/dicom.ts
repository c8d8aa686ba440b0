/**
 * DICOM: a series of slices, or one file of one or many frames, read as inference/files/dicom.py reads it. Headers by
 * dicom-parser; pixels as they are stored, as JPEG, lossless JPEG, JPEG 2000, JPEG-LS or run lengths.
 */

import { DataSet, createJPEGBasicOffsetTable, parseDicom, readEncapsulatedImageFrame } from "dicom-parser";
import { Decoder as LosslessJpeg } from "jpeg-lossless-decoder-js";

import { Vector, cross, dot, gridOf } from "./grid";
import { Image, scanOf } from "./image";
import { extremes } from "./intensity";
import { Numbers } from "./npz";
import { bitmapPixels } from "./picture";
import { unpackRuns } from "./runs";

export interface NamedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const PIXELS = "x7fe00010";
const POSITION_TOLERANCE = 0.05; // of the distance between slices
const PLAIN = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"];
const BIG_ENDIAN = "1.2.840.10008.1.2.2";
const RUNS = "1.2.840.10008.1.2.5";
const JPEG = ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"];
const LOSSLESS_JPEG = ["1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"];
const JPEG_2000 = ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"];
const JPEG_LS = ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"];
const NO_IMAGES = ["SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "DOC", "ECG"];

export const isDicom = (file: Uint8Array): boolean =>
  String.fromCharCode(...file.subarray(128, 132)) === "DICM";

/** What is needed of a file's header. */
interface Header {
  readonly file: NamedFile;
  readonly set: DataSet;
  readonly rows: number;
  readonly columns: number;
  readonly frames: number;
}

/** Read the series among some files, of several the `choice`-th (from 0). */
export async function readDicom(name: string, files: readonly NamedFile[], choice: number): Promise<Image> {
  const series = seriesOf(files);
  const headers = ordered(series[choice].headers);
  const [first] = headers;
  const channels = (first.set.uint16("x00280002") ?? 1) === 3 ? 3 : 1;
  const frames: Numbers[] = [];
  for (const header of headers) {
    for (let frame = 0; frame < header.frames; frame++) frames.push(await pixels(header, frame, channels));
  }
  const inverted = first.set.string("x00280004") === "MONOCHROME1";
  const values = inverted ? invert(joined(frames)) : joined(frames);
  const { steps, origin, known } = geometry(headers, frames.length);
  const grid = gridOf([first.columns, first.rows, frames.length], steps, origin, 3);
  const notes = frames.length > 1 && !known ? [`${frames.length} frames without positions, taken for slices 1 mm apart`] : [];
  const modality = first.set.string("x00080060") || "OT";
  const image = scanOf(name, grid, values, channels, modality, known, notes);
  return series.length > 1 ? { ...image, choices: series.map(({ title }) => title), choice } : image;
}

/** Images by their series. Titles say nothing of who the patient is. */
function seriesOf(files: readonly NamedFile[]) {
  const series = new Map<string, Header[]>();
  for (const file of files) {
    const header = headerOf(file);
    if (!header) continue;
    const uid = header.set.string("x0020000e") ?? "";
    series.set(uid, [...(series.get(uid) ?? []), header]);
  }
  if (!series.size) throw new Error("holds no image");
  return [...series.values()]
    .map((headers) => ({ headers, title: titleOf(headers) }))
    .sort((a, b) => b.headers.length - a.headers.length);
}

function titleOf([first, ...rest]: readonly Header[]): string {
  const count = Math.max(first.frames, rest.length + 1);
  const number = first.set.intString("x00200011");
  const modality = first.set.string("x00080060") ?? "?";
  return `${number === undefined ? "" : `${number}: `}${modality} ${first.columns} × ${first.rows}, ${count} slices`;
}

/** The header of a file; null where it is DICOM but no image. */
function headerOf(file: NamedFile): Header | null {
  let set: DataSet;
  try {
    set = parseDicom(file.bytes);
  } catch {
    throw new Error(`${file.name}: a damaged or encrypted DICOM file`);
  }
  const rows = set.uint16("x00280010");
  const columns = set.uint16("x00280011");
  if (!rows || !columns || NO_IMAGES.includes(set.string("x00080060") ?? "")) return null;
  if (!set.elements[PIXELS]) throw new Error(`${file.name}: a DICOM file without its pixels`);
  return { file, set, rows, columns, frames: set.intString("x00280008") || 1 };
}

/** Slices in the order of their positions along the normal of their plane. */
function ordered(headers: readonly Header[]): readonly Header[] {
  const [first] = headers;
  if (headers.some(({ rows, columns }) => rows !== first.rows || columns !== first.columns)) {
    throw new Error("slices differ in size: more than one scan in a series");
  }
  if (headers.length === 1) return headers;
  if (first.frames > 1) throw new Error(`${headers.length} files of several frames each: open them one at a time`);
  const places = headers.map((header) => {
    const plane = decimals(header.set, "x00200037");
    const position = decimals(header.set, "x00200032");
    if (plane?.length !== 6 || position?.length !== 3) {
      throw new Error(`${headers.length} images that say nothing of their positions: open them one at a time`);
    }
    return { header, plane, position: position as unknown as Vector };
  });
  const normal = normalOf(places[0].plane);
  if (places.some(({ plane }) => plane.some((part, i) => Math.abs(part - places[0].plane[i]) > 1e-3))) {
    throw new Error("slices are not parallel (a localizer among them?): open those of one scan");
  }
  places.sort((a, b) => dot(a.position, normal) - dot(b.position, normal));
  checkPositions(
    places.map(({ position }) => position),
    normal,
  );
  return places.map(({ header }) => header);
}

/** Throws unless slices follow each other evenly along their normal. */
function checkPositions(positions: readonly Vector[], normal: Vector): void {
  const ways = positions.slice(1).map((place, i) => place.map((part, axis) => part - positions[i][axis]));
  const steps = ways.map((way) => dot(way, normal));
  const typical = steps.toSorted((a, b) => a - b)[steps.length >> 1];
  if (Math.min(...steps) <= POSITION_TOLERANCE * Math.abs(typical)) {
    throw new Error("several slices at one position (phases or echoes?): open one of them");
  }
  const wide = steps.findIndex((step) => Math.abs(step - typical) > POSITION_TOLERANCE * typical);
  if (wide >= 0) {
    throw new Error(
      `slices are missing or not evenly spaced (${steps[wide].toFixed(2)} mm from slice ${wide + 1} to the next, ` +
        `${typical.toFixed(2)} mm between others)`,
    );
  }
  const shift = Math.max(...ways.flatMap((way, i) => way.map((part, axis) => Math.abs(part - normal[axis] * steps[i]))));
  if (shift > POSITION_TOLERANCE * typical) {
    throw new Error("slices are shifted against each other (a tilted gantry): resample it first, as dcm2niix does");
  }
}

/** Steps from voxel to voxel and the first one's place, and whether the files say where they lie. */
function geometry(headers: readonly Header[], depth: number) {
  const [{ set }] = headers;
  const groups = depth > 1 && headers.length === 1 ? frameGroups(set, depth) : null;
  const plane = groups?.plane ?? decimals(set, "x00200037") ?? [1, 0, 0, 0, 1, 0];
  const [betweenRows, betweenColumns] = groups?.spacing ?? decimals(set, "x00280030") ?? decimals(set, "x00181164") ?? [1, 1];
  const origin = (groups?.positions[0] ?? decimals(set, "x00200032") ?? [0, 0, 0]) as Vector;
  const known = Boolean(groups) || (Boolean(decimals(set, "x00200032")) && headers.length === depth);
  const normal = normalOf(plane);
  const last = groups?.positions.at(-1) ?? decimals(headers[headers.length - 1].set, "x00200032");
  const reach = last && known ? dot(last.map((part, i) => part - origin[i]), normal) : 0;
  if (groups) checkPositions(groups.positions, normal.map((part) => part * Math.sign(reach)) as unknown as Vector);
  const apart = depth > 1 && known ? reach / (depth - 1) : Number(set.floatString("x00180088") ?? (set.floatString("x00180050") || 1));
  const step = (way: readonly number[], mm: number): Vector => way.map((part) => part * mm) as unknown as Vector;
  const steps = [step(plane.slice(0, 3), betweenColumns), step(plane.slice(3), betweenRows), step(normal, apart || 1)];
  return { steps, origin, known };
}

/** Of a multi-frame file its plane, positions and spacing; null where it has none. */
function frameGroups(set: DataSet, depth: number) {
  const values = (frame: number, sequence: string, tag: string): number[] | undefined => {
    const found = groupOf(set, frame, sequence);
    return found && decimals(found, tag);
  };
  const plane = values(0, "x00209116", "x00200037");
  const spacing = values(0, "x00289110", "x00280030");
  const frames = Array.from({ length: depth }, (_, frame) => frame);
  const positions = frames.map((frame) => values(frame, "x00209113", "x00200032") as unknown as Vector);
  return plane && spacing && positions.every(Boolean) ? { plane, spacing, positions } : null;
}

/** A functional group of a frame, or the one that all share. */
function groupOf(set: DataSet, frame: number, sequence: string): DataSet | undefined {
  const own = set.elements.x52009230?.items?.[frame]?.dataSet;
  const shared = set.elements.x52009229?.items?.[0]?.dataSet;
  return (own?.elements[sequence] ?? shared?.elements[sequence])?.items?.[0]?.dataSet;
}

const normalOf = (plane: readonly number[]): Vector =>
  cross(plane.slice(0, 3) as unknown as Vector, plane.slice(3) as unknown as Vector);

function decimals(set: DataSet, tag: string): number[] | undefined {
  const text = set.string(tag);
  return text ? text.split("\\").map(Number) : undefined;
}

/** One frame, rescaled as its file says: gray of any kind, or colours of 8 bits. */
async function pixels(header: Header, frame: number, channels: 1 | 3): Promise<Numbers> {
  const { set, file } = header;
  const syntax = set.string("x00020010") ?? PLAIN[0];
  const scale = groupOf(set, frame, "x00289145") ?? set;
  if (PLAIN.includes(syntax)) return rescaled(scale, plainPixels(header, frame, channels, syntax === BIG_ENDIAN));
  const element = set.elements[PIXELS];
  const offsets = element.basicOffsetTable?.length ? element.basicOffsetTable : createJPEGBasicOffsetTable(set, element);
  const data = readEncapsulatedImageFrame(set, element, frame, syntax === RUNS ? undefined : offsets) as Uint8Array;
  if (syntax === RUNS) {
    const bytes = unpackRuns(data, header.rows * header.columns, channels * bytesOf(set));
    return rescaled(scale, numbers(set, bytes, channels, false));
  }
  if (LOSSLESS_JPEG.includes(syntax)) {
    const decoded = new LosslessJpeg().decompress(data.slice().buffer);
    return rescaled(scale, numbers(set, new Uint8Array(decoded), channels, false));
  }
  if (JPEG_2000.includes(syntax) || JPEG_LS.includes(syntax)) {
    const { decode } = await import("./codecs");
    const bytes = await decode(JPEG_LS.includes(syntax) ? "jpegLs" : "jpeg2000", data);
    if (bytes.length !== header.rows * header.columns * channels * bytesOf(set)) {
      throw new Error("damaged: its compressed pixels are of another size than it says");
    }
    return rescaled(scale, numbers(set, bytes, channels, false));
  }
  if (JPEG.includes(syntax) && bytesOf(set) === 1) {
    const rgba = (await bitmapPixels(data)).data;
    const out = new Uint8Array((rgba.length / 4) * channels);
    for (let i = 0; i < out.length; i++) out[i] = rgba[Math.floor(i / channels) * 4 + (i % channels)];
    return rescaled(scale, out);
  }
  throw new Error(`${file.name}: pixels in a form that this page does not read (${syntax}): decompress it first, as gdcmconv --raw does`);
}

const bytesOf = (set: DataSet): number => (set.uint16("x00280100") ?? 8) / 8;

function plainPixels({ set, file, rows, columns }: Header, frame: number, channels: 1 | 3, bigEndian: boolean): Numbers {
  const element = set.elements[PIXELS];
  const length = rows * columns * channels * bytesOf(set);
  const start = element.dataOffset + frame * length;
  if (start + length > set.byteArray.length) throw new Error(`${file.name}: truncated, its pixels end early`);
  return numbers(set, (set.byteArray as Uint8Array).slice(start, start + length), channels, bigEndian);
}

/** Values of bytes, which are changed. */
function numbers(set: DataSet, bytes: Uint8Array, channels: 1 | 3, bigEndian: boolean): Numbers {
  const size = bytesOf(set);
  const isSigned = set.uint16("x00280103") === 1;
  if (bigEndian && size > 1) for (let i = 0; i < bytes.length; i += size) bytes.subarray(i, i + size).reverse();
  if (channels === 3) {
    if (size !== 1) throw new Error(`colours of ${size * 8} bits: convert them to 8`);
    const planar = set.uint16("x00280006") === 1 ? interleaved(bytes) : bytes;
    return /^YBR_[FP]/.test(set.string("x00280004") ?? "") ? rgbOf(planar) : planar;
  }
  if (size === 1) return isSigned ? new Int8Array(bytes.buffer) : bytes;
  if (size === 2) return masked(isSigned ? new Int16Array(bytes.buffer) : new Uint16Array(bytes.buffer), set, isSigned);
  if (size === 4) return isSigned ? new Int32Array(bytes.buffer) : new Uint32Array(bytes.buffer);
  throw new Error(`pixels of ${size * 8} bits, which this page does not read`);
}

/** Bits above those that are stored may hold anything. */
function masked(values: Int16Array | Uint16Array, set: DataSet, isSigned: boolean): Numbers {
  const spare = 16 - (set.uint16("x00280101") ?? 16);
  if (spare) for (let i = 0; i < values.length; i++) values[i] = isSigned ? ((values[i] << (16 + spare)) >> (16 + spare)) : values[i] & (0xffff >> spare);
  return values;
}

function interleaved(planes: Uint8Array): Uint8Array {
  const size = planes.length / 3;
  return Uint8Array.from(planes, (_, i) => planes[(i % 3) * size + Math.floor(i / 3)]);
}

function rgbOf(ybr: Uint8Array): Uint8Array {
  const rgb = new Uint8ClampedArray(ybr.length);
  for (let i = 0; i < ybr.length; i += 3) {
    const [y, blue, red] = [ybr[i], ybr[i + 1] - 128, ybr[i + 2] - 128];
    rgb.set([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], i);
  }
  return new Uint8Array(rgb.buffer);
}

function rescaled(set: DataSet, values: Numbers): Numbers {
  const slope = set.floatString("x00281053") ?? 1;
  const intercept = set.floatString("x00281052") ?? 0;
  if (slope === 1 && intercept === 0) return values;
  const whole = Number.isInteger(slope) && Number.isInteger(intercept);
  const out = whole ? new Int32Array(values.length) : new Float32Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = values[i] * slope + intercept;
  return out;
}

/** All frames one after the other, in the type that holds them all; CT fits in 16 bits. */
function joined(frames: readonly Numbers[]): Numbers {
  const total = frames.reduce((sum, { length }) => sum + length, 0);
  const kinds = new Set(frames.map(({ constructor }) => constructor));
  const isWide = kinds.has(Float32Array) || kinds.size > 1;
  const fits = !isWide && kinds.has(Int32Array) && frames.every((frame) => frame.every((value) => value === (value << 16) >> 16));
  const Type = isWide ? Float32Array : fits ? Int16Array : frames[0].constructor;
  const all = new (Type as new (length: number) => Numbers)(total);
  let at = 0;
  for (const frame of frames) {
    all.set(frame, at);
    at += frame.length;
  }
  return all;
}

/** MONOCHROME1, brighter the higher, from 0 on. */
function invert(values: Numbers): Numbers {
  const [, most] = extremes(values);
  for (let i = 0; i < values.length; i++) values[i] = most - values[i];
  return values;
}
