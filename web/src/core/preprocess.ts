/** From an image to the encoder's input, as inference/segment/preprocess.py does with OpenCV. */

import { Geometry, Plane, Window, heightOf, widthOf } from "./geometry";
import { Metadata } from "./metadata";

const SMALLEST_RANGE = 1e-8; // a constant image maps to 0, not to NaN
const SLIVER = 1e-3; // parts of a pixel that OpenCV's INTER_AREA leaves out

/** Resize, pad and normalise what a window shows of an image: (3, S, S), 0..1, channel by channel. */
export function encoderInput(image: Plane, window: Window, metadata: Metadata): Float32Array {
  const geometry = new Geometry(heightOf(window), widthOf(window), metadata.inputSize);
  const resized = resize(image, window, geometry);
  const { resizedWidth: width, resizedHeight: height, inputSize: side } = geometry;
  let low = Infinity;
  let high = -Infinity;
  for (const value of resized) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const padded = height < side || width < side;
  if (metadata.normalise === "after_padding" && padded) low = Math.min(low, 0);
  const range = Math.max(high - low, SMALLEST_RANGE);
  const square = new Float32Array(3 * side * side);
  for (let channel = 0; channel < 3; channel++) {
    const source = image.channels === 3 ? channel : 0;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        square[(channel * side + y) * side + x] = (resized[(y * width + x) * image.channels + source] - low) / range;
      }
    }
  }
  return square;
}

/** For each output pixel of an axis, which source pixels it takes at which weight. */
interface Taps {
  readonly starts: Uint32Array; // of each output pixel in the two below; one more at the end
  readonly sources: Uint32Array;
  readonly weights: Float32Array;
}

/** The window in its size in the input: by area where it shrinks, else bilinear; channels interleaved. */
function resize(image: Plane, window: Window, geometry: Geometry): Float32Array {
  const shrinking = Math.max(geometry.height, geometry.width) > geometry.inputSize;
  const tapsOf = shrinking ? areaTaps : linearTaps;
  const columns = tapsOf(geometry.width, geometry.resizedWidth);
  const rows = tapsOf(geometry.height, geometry.resizedHeight);
  const { channels } = image;
  const wide = geometry.resizedWidth * channels;
  const narrowed = new Float32Array(wide);
  const out = new Float32Array(geometry.resizedHeight * wide);
  let narrowedRow = -1; // shrinking reads each source row of an output row in turn, most of them once
  for (let y = 0; y < geometry.resizedHeight; y++) {
    for (let tap = rows.starts[y]; tap < rows.starts[y + 1]; tap++) {
      if (rows.sources[tap] !== narrowedRow) {
        narrowedRow = rows.sources[tap];
        narrow(image, window, narrowedRow, columns, narrowed);
      }
      const weight = rows.weights[tap];
      for (let i = 0; i < wide; i++) out[y * wide + i] += weight * narrowed[i];
    }
  }
  return out;
}

/** One row of the window, resized along x. */
function narrow(image: Plane, window: Window, row: number, columns: Taps, out: Float32Array): void {
  const { channels, data } = image;
  const start = ((window.top + row) * image.width + window.left) * channels;
  for (let x = 0; x < columns.starts.length - 1; x++) {
    for (let channel = 0; channel < channels; channel++) {
      let sum = 0;
      for (let tap = columns.starts[x]; tap < columns.starts[x + 1]; tap++) {
        sum += data[start + columns.sources[tap] * channels + channel] * columns.weights[tap];
      }
      out[x * channels + channel] = sum;
    }
  }
}

function areaTaps(size: number, resized: number): Taps {
  const step = size / resized;
  return gather(resized, (index, add) => {
    const from = index * step;
    const to = from + step;
    const cell = Math.min(step, size - from);
    const last = Math.min(Math.floor(to), size - 1);
    const first = Math.min(Math.ceil(from), last);
    if (first - from > SLIVER) add(first - 1, (first - from) / cell);
    for (let source = first; source < last; source++) add(source, 1 / cell);
    if (to - last > SLIVER) add(last, Math.min(to - last, 1, cell) / cell);
  });
}

function linearTaps(size: number, resized: number): Taps {
  const step = size / resized;
  return gather(resized, (index, add) => {
    const place = Math.min(Math.max((index + 0.5) * step - 0.5, 0), size - 1);
    const first = Math.floor(place);
    add(first, 1 - (place - first));
    if (place > first) add(first + 1, place - first);
  });
}

function gather(count: number, tapsOf: (index: number, add: (source: number, weight: number) => void) => void): Taps {
  const starts = new Uint32Array(count + 1);
  const sources: number[] = [];
  const weights: number[] = [];
  for (let index = 0; index < count; index++) {
    tapsOf(index, (source, weight) => {
      sources.push(source);
      weights.push(weight);
    });
    starts[index + 1] = sources.length;
  }
  return { starts, sources: Uint32Array.from(sources), weights: Float32Array.from(weights) };
}
