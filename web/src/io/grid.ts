/**
 * Where the voxels of a file lie in the patient, and which of its axes are slices, rows and columns, as
 * inference/files/grid.py and layout.py have it. Patient coordinates are DICOM's: LPS, mm.
 */

import { Numbers } from "./npz";

export type Vector = readonly [number, number, number];

export interface Grid {
  readonly size: Vector; // voxels along x, y, z of the file
  readonly spacing: Vector; // mm
  readonly origin: Vector; // of the centre of voxel 0, 0, 0
  readonly direction: readonly [Vector, Vector, Vector]; // of the file's axes, each of length 1
  readonly dimensions: 2 | 3; // of the file
}

/** From the file's axes to those of slices, rows and columns. */
export interface Layout {
  readonly order: Vector; // the file's axis of slices, rows and columns
  readonly flipped: readonly [boolean, boolean, boolean]; // whether they run against it
  readonly sizes: Vector; // of the file
}

const STANDS_OUT = 1.01; // the axis of slices is that of largest spacing, if it is larger by this factor
const PLANES = ["sagittal", "coronal", "axial"];
const SHEAR = 1e-3; // cosine between axes; more is no right angle

/** A grid from the steps (mm, LPS) from a voxel to the next along the file's axes; throws where they are no grid. */
export function gridOf(size: Vector, steps: readonly Vector[], origin: Vector, dimensions: 2 | 3): Grid {
  const spacing = steps.map((step) => Math.hypot(...step)) as unknown as Vector;
  const direction = steps.map((step, i) => step.map((part) => part / spacing[i])) as unknown as Grid["direction"];
  const right = [0, 1, 2].every((i) => Math.abs(dot(direction[i], direction[(i + 1) % 3])) < SHEAR);
  if (!right || !spacing.every(Number.isFinite) || !origin.every(Number.isFinite)) {
    throw new Error("its axes are not at right angles (a sheared or degenerate transform): resample it first");
  }
  return { size, spacing, origin, direction, dimensions };
}

/** A grid whose axes are the patient's. */
export const plainGrid = (size: Vector, spacing: Vector, dimensions: 2 | 3): Grid => ({
  size,
  spacing,
  origin: [0, 0, 0],
  direction: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  dimensions,
});

/** The layout of a file that is stored as it is shown. */
export const plainLayout = (sizes: Vector): Layout => ({ order: [2, 1, 0], flipped: [false, false, false], sizes });

export const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * b[i], 0);

export const cross = (a: Vector, b: Vector): Vector => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];

/** The layout for a grid, be it oblique or anisotropic. */
export function layoutOf(grid: Grid): Layout {
  const towards = patientAxes(grid);
  const slices = sliceAxis(grid, towards);
  const [rows, columns] = [0, 1, 2].filter((axis) => axis !== slices).sort((a, b) => towards[b] - towards[a]);
  const order: Vector = [slices, rows, columns];
  const flipped = order.map((axis) => grid.direction[axis][towards[axis]] < 0);
  return { order, flipped: flipped as [boolean, boolean, boolean], sizes: grid.size };
}

/** `axial slices, 5 mm apart`. */
export function describe(layout: Layout, grid: Grid): string {
  const axis = layout.order[0];
  return `${PLANES[patientAxes(grid)[axis]]} slices, ${Number(grid.spacing[axis].toPrecision(3))} mm apart`;
}

/** For each axis of the file the patient's axis that it runs along most; each is taken once. */
function patientAxes(grid: Grid): Vector {
  const ways: Vector[] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ];
  const along = (way: Vector): number =>
    way.reduce((sum, patient, axis) => sum + Math.abs(grid.direction[axis][patient]), 0);
  return ways.reduce((best, way) => (along(way) > along(best) ? way : best));
}

function sliceAxis(grid: Grid, towards: Vector): number {
  const single = [2, 1, 0].find((axis) => grid.size[axis] === 1);
  if (single !== undefined) return single;
  const widest = grid.spacing.indexOf(Math.max(...grid.spacing));
  const others = Math.max(...grid.spacing.filter((_, axis) => axis !== widest));
  return grid.spacing[widest] > others * STANDS_OUT ? widest : towards.indexOf(2);
}

/** Where an index of slices, rows, columns lies in the file, along its x, y, z. */
function strides({ order, flipped, sizes }: Layout): { start: number; steps: Vector } {
  const ofFile = [1, sizes[0], sizes[0] * sizes[1]];
  const steps = order.map((axis, i) => (flipped[i] ? -ofFile[axis] : ofFile[axis])) as unknown as Vector;
  const start = order.reduce((sum, axis, i) => sum + (flipped[i] ? (sizes[axis] - 1) * ofFile[axis] : 0), 0);
  return { start, steps };
}

/** Slices, rows and columns of a layout. */
export const shapeOf = ({ order, sizes }: Layout): Vector => order.map((axis) => sizes[axis]) as unknown as Vector;

/** Voxels as the file stores them, x running fastest, to slices, rows and columns (fastest). */
export function arrange<T extends Numbers>(stored: T, layout: Layout, channels = 1): T {
  return moved(stored, layout, channels, (out, to, from) => {
    for (let c = 0; c < channels; c++) out[to * channels + c] = stored[from * channels + c];
  });
}

/** The way back of `arrange`, of one channel. */
export function restore<T extends Numbers>(arranged: T, layout: Layout): T {
  return moved(arranged, layout, 1, (out, to, from) => {
    out[from] = arranged[to];
  });
}

function moved<T extends Numbers>(
  values: T,
  layout: Layout,
  channels: number,
  move: (out: T, arranged: number, stored: number) => void,
): T {
  const [depth, height, width] = shapeOf(layout);
  const { start, steps } = strides(layout);
  if (start === 0 && steps[2] === 1 && steps[1] === width && steps[0] === width * height) return values;
  const out = new (values.constructor as new (length: number) => T)(depth * height * width * channels);
  let to = 0;
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      let from = start + z * steps[0] + y * steps[1];
      for (let x = 0; x < width; x++, from += steps[2]) move(out, to++, from);
    }
  }
  return out;
}

/** A box `x, y, z, x, y, z` in columns, rows and slices to one in the file's x, y, z; last voxels belong to both. */
export function boxOfFile(box: readonly number[], { order, flipped, sizes }: Layout): number[] {
  const ofFile = new Array<number>(6);
  for (const [to, axis] of order.toReversed().entries()) {
    const [low, high] = [box[to], box[to + 3]];
    const against = flipped[2 - to];
    ofFile[axis] = against ? sizes[axis] - 1 - high : low;
    ofFile[axis + 3] = against ? sizes[axis] - 1 - low : high;
  }
  return ofFile;
}
