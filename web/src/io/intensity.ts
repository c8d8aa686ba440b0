/** Intensities of any scanner to 0..255, as inference/cases/intensity.py brings them there. */

import { Numbers } from "./npz";

const PERCENTILES = [0.5, 99.5]; // of the values that are not 0
const LEAST_RANGE = 1e-8; // an image of one value has no range to divide by

/** What is shown, and segmented: `level - width / 2` becomes 0, `level + width / 2` becomes 255. */
export interface Shades {
  readonly level: number;
  readonly width: number;
  readonly isMeasured?: boolean; // by the percentiles of the image, not chosen
}

/** Hounsfield units, as the images of MedSAM and of the challenge were prepared. */
export const CT_WINDOWS: Readonly<Record<string, Shades>> = {
  "Soft tissue": { level: 40, width: 400 },
  Lung: { level: -160, width: 1500 },
  Brain: { level: 40, width: 80 },
  Bone: { level: 400, width: 1800 },
};

export const shadesOf = (low: number, high: number): Shades => ({ level: (low + high) / 2, width: high - low, isMeasured: true });

/** Gray values to 0..255; fractions are dropped, hence in the runtime's precision: single, but for what was measured. */
export function toGrey(values: Numbers, { level, width, isMeasured }: Shades): Uint8Array {
  const rounded = isMeasured ? (value: number): number => value : Math.fround;
  const low = rounded(level - width / 2);
  const scale = rounded(255 / Math.max(width, LEAST_RANGE));
  const grey = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const scaled = rounded(rounded(rounded(values[i]) - low) * scale);
    grey[i] = scaled <= 0 ? 0 : scaled >= 255 ? 255 : scaled;
  }
  return grey;
}

/** The two percentiles of the values that are not 0. */
export function percentileRange(values: Numbers): [number, number] {
  const [count, at] = values.BYTES_PER_ELEMENT <= 2 ? counted(values) : sorted(values);
  if (!count) return [0, 1];
  const [low, high] = PERCENTILES.map((percentile) => {
    const place = ((count - 1) * percentile) / 100;
    const first = Math.floor(place);
    const value = at(first);
    return place > first ? value + (at(first + 1) - value) * (place - first) : value;
  });
  return [low, high];
}

/** How many values are not 0, and which the i-th smallest of them is. */
type Ranked = [number, (i: number) => number];

function sorted(values: Numbers): Ranked {
  const inOrder = values.filter((value) => value !== 0).sort();
  return [inOrder.length, (i) => inOrder[i]];
}

/** The same of whole numbers of up to 16 bits, which need not be sorted. */
function counted(values: Numbers): Ranked {
  const offset = 2 ** 15;
  const counts = new Uint32Array(3 * offset);
  for (let i = 0; i < values.length; i++) counts[values[i] + offset]++;
  const zeros = counts[offset];
  counts[offset] = 0;
  const at = (i: number): number => {
    let value = 0;
    for (let before = counts[0]; before <= i; before += counts[value]) value++;
    return value - offset;
  };
  return [values.length - zeros, at];
}

export function extremes(values: Numbers): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return [low, high];
}
