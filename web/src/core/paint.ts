/**
 * Painting the masks of several objects into one label map. A pixel that several claim goes to the higher logit once
 * log2 of the box's area is subtracted (the runtime's rule `size`): small objects lie in front of large ones.
 */

import { Box, Window, widthOf } from "./geometry";
import { Found } from "./resample";

/** What is added to an object's logits before they are compared. */
export function advantage(box: Box): number {
  const area = Math.max(box[2] - box[0], 1) * Math.max(box[3] - box[1], 1);
  return Math.fround(-Math.log2(area));
}

/** The label map of one slice, and the best score of each pixel. */
export class Canvas {
  readonly labels: Uint16Array;
  private readonly best: Float32Array;

  constructor(
    height: number,
    private readonly width: number,
  ) {
    this.labels = new Uint16Array(height * width);
    this.best = new Float32Array(height * width).fill(-Infinity);
  }

  /** Paint the positive part of an object's logits as `label`; of equals the lower label has the pixel. */
  paint(label: number, { region, logits }: Found, advantage: number): void {
    forEachPixel(region, this.width, (at, i) => {
      if (logits[i] <= 0) return;
      const score = Math.fround(logits[i] + advantage);
      if (score > this.best[at] || (score === this.best[at] && label < this.labels[at])) {
        this.labels[at] = label;
        this.best[at] = score;
      }
    });
  }
}

/** Call with the index of each pixel of a region, in an image of this width and in the region. */
export function forEachPixel(region: Window, width: number, visit: (at: number, i: number) => void): void {
  let i = 0;
  const columns = widthOf(region);
  for (let y = region.top; y < region.bottom; y++) {
    const start = y * width + region.left;
    for (let x = 0; x < columns; x++) visit(start + x, i++);
  }
}
