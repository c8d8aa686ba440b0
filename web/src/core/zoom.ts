/** Zoom: which windows magnify small objects, as inference/segment/zoom.py chooses them (docs/zoom.md says why). */

import { Box, Window, clamp, heightOf, widthOf } from "./geometry";

const CONTEXT = 2.25; // a window is at least this many times as wide and high as each of its boxes
const LEAST_SIDE = 32;
const LEAST_MAGNIFICATION = 1.25; // less is not worth a pass of the encoder
export const MAX_WINDOWS = 8;
export const MAX_WINDOWS_OF_A_VOLUME = 1;

export interface Windows {
  readonly windows: readonly Window[]; // the first is the whole image
  readonly chosen: readonly number[]; // of each box
}

export const wholeImage = (height: number, width: number): Window => ({ left: 0, top: 0, right: width, bottom: height });

/** Choose the windows of an image, `most` besides the whole, and for each box the one it is segmented on. */
export function planWindows(boxes: readonly Box[], height: number, width: number, most = MAX_WINDOWS): Windows {
  const windows = [wholeImage(height, width)];
  const chosen = boxes.map(() => 0);
  const longest = Math.max(height, width);
  const small = boxes
    .map((box, index) => ({ box, index, side: Math.max(box[2] - box[0], box[3] - box[1], 0) }))
    .filter(({ side }) => side * CONTEXT * LEAST_MAGNIFICATION < longest);
  for (const inside of cells(small, most)) {
    const window = tightWindow(inside, height, width);
    if (Math.max(heightOf(window), widthOf(window)) * LEAST_MAGNIFICATION < longest) {
      for (const { index } of inside) chosen[index] = windows.length;
      windows.push(window);
    }
  }
  return { windows, chosen };
}

interface Small {
  readonly box: Box;
  readonly index: number;
  readonly side: number;
}

/**
 * The boxes by the cells of a grid that hold their centres, at most `most` cells, in the order of size, column and row.
 * A cell's side is the power of two that is one to two times the longest side of its boxes; where there are too many
 * cells, none may be smaller than a least size, which grows by half octaves.
 */
function cells(small: readonly Small[], most: number): Small[][] {
  const own = small.map(({ side }) => 2 * Math.ceil(Math.log2(Math.max(side, LEAST_SIDE / CONTEXT))));
  for (let least = Math.min(...own); ; least++) {
    const grid = new Map<string, { place: number[]; inside: Small[] }>();
    small.forEach((item, i) => {
      const size = Math.max(own[i], least);
      const cell = 2 ** (size / 2);
      const column = Math.floor((item.box[0] + item.box[2]) / 2 / cell);
      const row = Math.floor((item.box[1] + item.box[3]) / 2 / cell);
      const place = [size, column, row];
      const found = grid.get(place.join()) ?? { place, inside: [] };
      found.inside.push(item);
      grid.set(place.join(), found);
    });
    if (grid.size <= most) {
      return [...grid.values()]
        .sort(({ place: a }, { place: b }) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2])
        .map(({ inside }) => inside);
    }
  }
}

/** The smallest square, clipped to the image, that holds the boxes with a margin and gives each its context. */
function tightWindow(inside: readonly Small[], height: number, width: number): Window {
  const extreme = (pick: (...values: number[]) => number, column: number): number =>
    pick(...inside.map(({ box }) => box[column]));
  const low = [extreme(Math.min, 0), extreme(Math.min, 1)];
  const high = [extreme(Math.max, 2), extreme(Math.max, 3)];
  const sides = inside.map(({ side }) => side);
  const margin = (Math.min(...sides) * (CONTEXT - 1)) / 2;
  const side = Math.max(
    Math.max(high[0] - low[0], high[1] - low[1]) + 2 * margin,
    Math.max(...sides) * CONTEXT,
    LEAST_SIDE,
  );
  const [left, top] = [width, height].map((size, axis) =>
    clamp((low[axis] + high[axis]) / 2 - side / 2, 0, Math.max(0, size - side)),
  );
  return {
    left: Math.floor(left),
    top: Math.floor(top),
    right: Math.min(Math.ceil(left + side), width),
    bottom: Math.min(Math.ceil(top + side), height),
  };
}
