/** The outline of a label as line segments through the middles of pixel edges, cut off at corners (marching squares). */

import { Window } from "../core/geometry";

/** A path in pixels of the image, where pixel 0 reaches from 0 to 1. */
export function outlineOf(labels: Uint16Array, label: number, region: Window, width: number, height: number): Path2D {
  const path = new Path2D();
  const has = (x: number, y: number): number =>
    x >= 0 && y >= 0 && x < width && y < height && labels[y * width + x] === label ? 1 : 0;
  for (let y = region.top - 1; y < region.bottom; y++) {
    let left = has(region.left - 1, y) + 2 * has(region.left - 1, y + 1);
    for (let x = region.left - 1; x < region.right; x++) {
      const right = has(x + 1, y) + 2 * has(x + 1, y + 1);
      const corners = left + 4 * right; // top left 1, bottom left 2, top right 4, bottom right 8
      left = right;
      if (corners === 0 || corners === 15) continue;
      for (const [from, to] of SEGMENTS[corners]) {
        path.moveTo(x + 1 + from[0], y + 1 + from[1]);
        path.lineTo(x + 1 + to[0], y + 1 + to[1]);
      }
    }
  }
  return path;
}

// The middles of the four edges between four pixels' centres, from where the four meet.
const [TOP, LEFT, BOTTOM, RIGHT] = [[0, -0.5], [-0.5, 0], [0, 0.5], [0.5, 0]] as const; // prettier-ignore
type Segment = readonly [readonly [number, number], readonly [number, number]];
const SEGMENTS: readonly (readonly Segment[])[] = [
  [],
  [[LEFT, TOP]],
  [[LEFT, BOTTOM]],
  [[TOP, BOTTOM]],
  [[TOP, RIGHT]],
  [[LEFT, RIGHT]],
  [[LEFT, BOTTOM], [TOP, RIGHT]], // prettier-ignore
  [[BOTTOM, RIGHT]],
  [[BOTTOM, RIGHT]],
  [[LEFT, TOP], [BOTTOM, RIGHT]], // prettier-ignore
  [[LEFT, RIGHT]],
  [[TOP, RIGHT]],
  [[TOP, BOTTOM]],
  [[LEFT, BOTTOM]],
  [[LEFT, TOP]],
  [],
];
