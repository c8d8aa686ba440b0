/** An image as it was read, in slices, rows and columns. */

import { Grid, Layout, Vector, arrange, describe, layoutOf, plainGrid, plainLayout, shapeOf } from "./grid";
import { CT_WINDOWS, Shades, extremes, percentileRange, shadesOf } from "./intensity";
import { Numbers } from "./npz";

export interface GivenBox {
  readonly box: readonly number[]; // 4 or 6 numbers: columns, rows (, slices)
  readonly name?: string;
  readonly label?: number;
}

export interface Image {
  readonly name: string;
  readonly depth: number; // 1 of a picture
  readonly height: number;
  readonly width: number;
  readonly channels: 1 | 3;
  readonly values: Numbers; // channels interleaved; colours 0..255
  readonly range: readonly [number, number]; // least and greatest value
  readonly shades: Shades; // what becomes 0..255, to begin with
  readonly modality: string; // as DICOM abbreviates it; empty where it is not known
  readonly grid: Grid | null; // null of a picture
  readonly layout: Layout | null;
  readonly hasGeometry: boolean; // whether it is known where voxels lie
  readonly notes: readonly string[];
  readonly boxes: readonly GivenBox[]; // that came with it
  readonly choices: readonly string[]; // the series of a folder, where there are several
  readonly choice: number;
}

const CT_BELOW = -500; // values below this, which is air in a scan, mark CT where nothing else says what an image is
const BYTE: Shades = { level: 127.5, width: 255 };

const NOTHING_MORE = { notes: [], boxes: [], choices: [], choice: 0 };

/** A picture without geometry; more than 8 bits are shown between percentiles. */
export function pictureOf(
  name: string,
  height: number,
  width: number,
  values: Numbers,
  channels: 1 | 3,
  notes: readonly string[] = [],
): Image {
  const isByte = values instanceof Uint8Array;
  return {
    ...NOTHING_MORE,
    name,
    depth: 1,
    height,
    width,
    channels,
    values,
    range: isByte ? [0, 255] : extremes(values),
    shades: isByte ? BYTE : shadesOf(...percentileRange(values)),
    modality: "",
    grid: null,
    layout: null,
    hasGeometry: false,
    notes,
  };
}

/** A volume that says itself which axis is which, of 0..255; `spacing` in mm between slices, rows and columns. */
export function volumeOf(
  name: string,
  [depth, height, width]: Vector,
  values: Uint8Array,
  channels: 1 | 3,
  spacing: Vector | null,
): Image {
  const size: Vector = [width, height, depth];
  const [apart, high, wide] = spacing ?? [1, 1, 1];
  return {
    ...pictureOf(name, height, width, values, channels),
    depth,
    grid: plainGrid(size, [wide, high, apart], 3),
    layout: plainLayout(size),
    hasGeometry: spacing !== null,
  };
}

/** A scan on a grid: `stored` as in the file, x running fastest. CT gets its window, all else its percentiles. */
export function scanOf(
  name: string,
  grid: Grid,
  stored: Numbers,
  channels: 1 | 3,
  modality: string,
  hasGeometry: boolean,
  notes: readonly string[] = [],
): Image {
  const layout = layoutOf(grid);
  const [depth, height, width] = shapeOf(layout);
  const [values, mended] = finite(arrange(stored, layout, channels));
  const range = extremes(values);
  const isCt = modality === "CT" || (!modality && channels === 1 && range[0] < CT_BELOW);
  const ofBytes = channels === 3;
  const said = [
    depth > 1 && hasGeometry ? describe(layout, grid) : "",
    isCt && !modality ? `taken for CT, since it has values below ${CT_BELOW}` : "",
    mended ? `${mended} voxels hold NaN or infinity, taken for 0` : "",
  ];
  return {
    ...NOTHING_MORE,
    name,
    depth,
    height,
    width,
    channels,
    values,
    range,
    shades: ofBytes ? BYTE : isCt ? CT_WINDOWS["Soft tissue"] : shadesOf(...percentileRange(values)),
    modality: isCt ? "CT" : modality,
    grid,
    layout,
    hasGeometry,
    notes: [...said.filter(Boolean), ...notes],
  };
}

function finite(values: Numbers): [Numbers, number] {
  if (!(values instanceof Float32Array || values instanceof Float64Array)) return [values, 0];
  let count = 0;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      values[i] = 0;
      count++;
    }
  }
  return [values, count];
}

/** Millimetres between slices, rows and columns; null where it is not known. */
export function spacingOf(image: Image): readonly [number, number, number] | null {
  if (!image.grid || !image.layout || !image.hasGeometry) return null;
  const { spacing } = image.grid;
  const [slices, rows, columns] = image.layout.order;
  return [spacing[slices], spacing[rows], spacing[columns]];
}
