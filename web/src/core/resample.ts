/**
 * From low-resolution logits to those of the image's pixels, bilinear with half-pixel centres, computed only where they
 * can be positive, as inference/segment/resample.py does.
 */

import { Geometry, Window, heightOf, widthOf } from "./geometry";
import { Metadata } from "./metadata";

/** Full-resolution logits of one object, on the region of the image where they can be positive. */
export interface Found {
  readonly region: Window;
  readonly logits: Float32Array; // as large as the region
}

/** Bring the logits (L, L) that were decoded on a window to full resolution; null where none is positive. */
export function fullResolution(logits: Float32Array, window: Window, metadata: Metadata): Found | null {
  const height = heightOf(window);
  const width = widthOf(window);
  const geometry = new Geometry(height, width, metadata.inputSize);
  const ratio = metadata.logitSize / metadata.inputSize;
  const contentRows = geometry.resizedHeight * ratio;
  const contentColumns = geometry.resizedWidth * ratio;
  const stored = metadata.logitSize; // length of a row
  const rows = Math.ceil(contentRows);
  const columns = Math.ceil(contentColumns);

  let [top, bottom, left, right] = [rows, -1, columns, -1];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      if (logits[y * stored + x] > 0) {
        if (y < top) top = y;
        if (y > bottom) bottom = y;
        if (x < left) left = x;
        if (x > right) right = x;
      }
    }
  }
  if (bottom < 0) return null;
  const [fromY, toY] = reached(top, bottom, contentRows, height);
  const [fromX, toX] = reached(left, right, contentColumns, width);

  const out = new Float32Array((toY - fromY) * (toX - fromX));
  const horizontal = taps(fromX, toX, columns, contentColumns / width);
  const vertical = taps(fromY, toY, rows, contentRows / height);
  const mixed = new Float32Array(columns); // of two rows of logits
  for (let y = 0; y < toY - fromY; y++) {
    const [first, second, weight] = [vertical.first[y] * stored, vertical.second[y] * stored, vertical.weight[y]];
    for (let x = 0; x < columns; x++) mixed[x] = logits[first + x] * (1 - weight) + logits[second + x] * weight;
    const start = y * (toX - fromX);
    for (let x = 0; x < toX - fromX; x++) {
      const share = horizontal.weight[x];
      out[start + x] = mixed[horizontal.first[x]] * (1 - share) + mixed[horizontal.second[x]] * share;
    }
  }
  const region = {
    left: window.left + fromX,
    top: window.top + fromY,
    right: window.left + toX,
    bottom: window.top + toY,
  };
  return { region, logits: out };
}

/** Output indices whose interpolation touches the source indices `first` to `last`, along one axis. */
function reached(first: number, last: number, content: number, size: number): [number, number] {
  const scale = size / content;
  const start = Math.trunc((first - 0.5) * scale - 0.5) - 1;
  const stop = Math.trunc((last + 1.5) * scale - 0.5) + 2;
  return [Math.max(0, start), Math.min(size, stop)];
}

/** The two sources of each output index and the weight of the second; edges repeat the border. */
function taps(start: number, stop: number, size: number, step: number) {
  const first = new Uint32Array(stop - start);
  const second = new Uint32Array(stop - start);
  const weight = new Float32Array(stop - start);
  for (let i = 0; i < stop - start; i++) {
    const source = Math.max((start + i + 0.5) * step - 0.5, 0);
    first[i] = Math.min(Math.floor(source), size - 1);
    second[i] = Math.min(first[i] + 1, size - 1);
    weight[i] = source - first[i];
  }
  return { first, second, weight };
}

/** Tight box of the positive pixels, as pixel edges; null where there are none. */
export function tightBox({ region, logits }: Found): [number, number, number, number] | null {
  const width = widthOf(region);
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  for (let i = 0; i < logits.length; i++) {
    if (logits[i] > 0) {
      const x = i % width;
      const y = (i - x) / width;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  if (bottom < 0) return null;
  return [region.left + left, region.top + top, region.left + right + 1, region.top + bottom + 1];
}
