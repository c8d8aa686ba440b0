/** NIfTI: read by nifti-reader-js, written here (348 bytes of header, and the label map). */

import { NIFTI1, NIFTI2, isNIFTI, readHeader, readImage } from "nifti-reader-js";

import { Grid, Vector, gridOf } from "./grid";
import { Image, scanOf } from "./image";
import { Numbers } from "./npz";

const RGB24 = 128;
const TYPES: Readonly<Record<number, new (buffer: ArrayBuffer) => Numbers>> = {
  2: Uint8Array,
  4: Int16Array,
  8: Int32Array,
  16: Float32Array,
  64: Float64Array,
  256: Int8Array,
  512: Uint16Array,
  768: Uint32Array,
};
const MM_OF_UNITS: Readonly<Record<number, number>> = { 1: 1000, 3: 0.001 }; // metres, micrometres; else millimetres
const UNITS = 7;

export const isNifti = (file: ArrayBuffer): boolean => file.byteLength >= 348 && isNIFTI(file);

export function readNifti(name: string, file: ArrayBuffer): Image {
  const header = readHeader(file) as NIFTI1 | NIFTI2;
  const dims = header.dims.slice(1, header.dims[0] + 1);
  if (dims.length < 2 || dims.length > 5) throw new Error(`has ${dims.length} dimensions, expected 2 to 4`);
  const size: Vector = [dims[0], dims[1], dims[2] || 1];
  const volumes = dims.slice(3).reduce((product, side) => product * Math.max(side, 1), 1);
  const isColour = header.datatypeCode === RGB24;
  const Type = isColour ? Uint8Array : TYPES[header.datatypeCode];
  if (!Type) throw new Error(`holds values of a kind that is not read here (NIfTI type ${header.datatypeCode})`);
  const channels = isColour ? 3 : 1;
  const bytes = size[0] * size[1] * size[2] * (header.numBitsPerVoxel / 8);
  const data = readImage(header, file).slice(0, bytes);
  if (data.byteLength < bytes) throw new Error(`truncated: ${data.byteLength} bytes of ${bytes} of its voxels`);
  if (!header.littleEndian) swap(new Uint8Array(data), header.numBitsPerVoxel / 8 / channels);
  const notes = volumes > 1 ? [`holds ${volumes} volumes, of which the first is taken`] : [];
  const mm = MM_OF_UNITS[header.xyzt_units & UNITS] ?? 1;
  // RAS to LPS: x and y change their sense.
  const column = (i: number): Vector => [-header.affine[0][i] * mm, -header.affine[1][i] * mm, header.affine[2][i] * mm];
  const grid = gridOf(size, [column(0), column(1), column(2)], column(3), dims.length === 2 ? 2 : 3);
  const values = rescaled(new Type(data), header.scl_slope, header.scl_inter);
  return scanOf(name, grid, values, channels, "", true, notes);
}

function rescaled(values: Numbers, slope: number, intercept: number): Numbers {
  if (!slope || !Number.isFinite(slope) || (slope === 1 && !intercept)) return values;
  return Float32Array.from(values as Float32Array, (value) => value * slope + intercept);
}

function swap(bytes: Uint8Array, size: number): void {
  for (let i = 0; i < bytes.length; i += size) bytes.subarray(i, i + size).reverse();
}

/** A label map as NIfTI-1, not compressed; `labels` as the file stores them, x running fastest. */
export function writeNifti(labels: Uint8Array | Uint16Array, grid: Grid): Uint8Array {
  const file = new Uint8Array(352 + labels.byteLength);
  const view = new DataView(file.buffer);
  const int16 = (at: number, value: number): void => view.setInt16(at, value, true);
  const float = (at: number, value: number): void => view.setFloat32(at, value, true);
  view.setInt32(0, 348, true);
  [grid.dimensions, ...grid.size, 1, 1, 1, 1].forEach((value, i) => int16(40 + 2 * i, value));
  int16(70, labels instanceof Uint8Array ? 2 : 512);
  int16(72, labels.BYTES_PER_ELEMENT * 8);
  [1, ...grid.spacing].forEach((value, i) => float(76 + 4 * i, value));
  float(108, 352); // where voxels begin
  float(112, 1); // slope
  file[123] = 2; // millimetres
  int16(254, 1); // sform: scanner coordinates
  for (let row = 0; row < 3; row++) {
    const sense = row < 2 ? -1 : 1; // LPS to RAS
    for (let i = 0; i < 3; i++) float(280 + 16 * row + 4 * i, sense * grid.direction[i][row] * grid.spacing[i]);
    float(280 + 16 * row + 12, sense * grid.origin[row]);
  }
  file.set([0x6e, 0x2b, 0x31], 344); // "n+1"
  file.set(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength), 352);
  return file;
}
