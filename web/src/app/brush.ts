/** Brush and eraser: an object's layer with a stroke painted into it. */

import { Window, clamp, heightOf, widthOf } from "../core/geometry";
import { Layer, STRONGEST } from "../workers/layer";

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A copy of a layer with a stroke from one point to the other, `radius` pixels of the image wide on either side. */
export function stroked(
  layer: Layer | undefined,
  from: Point,
  to: Point,
  radius: number,
  adds: boolean,
  size: { readonly width: number; readonly height: number },
): Layer {
  const reach: Window = {
    left: clamp(Math.floor(Math.min(from.x, to.x) - radius), 0, size.width),
    top: clamp(Math.floor(Math.min(from.y, to.y) - radius), 0, size.height),
    right: clamp(Math.ceil(Math.max(from.x, to.x) + radius) + 1, 0, size.width),
    bottom: clamp(Math.ceil(Math.max(from.y, to.y) + radius) + 1, 0, size.height),
  };
  const { region, claims } = grown(layer, adds ? reach : (layer?.region ?? reach));
  const width = widthOf(region);
  const rows = [Math.max(reach.top, region.top), Math.min(reach.bottom, region.bottom)];
  const columns = [Math.max(reach.left, region.left), Math.min(reach.right, region.right)];
  for (let y = rows[0]; y < rows[1]; y++) {
    for (let x = columns[0]; x < columns[1]; x++) {
      if (distance({ x: x + 0.5, y: y + 0.5 }, from, to) > Math.max(radius, 0.71)) continue; // the pixel below it at least
      claims[(y - region.top) * width + x - region.left] = adds ? STRONGEST : 0;
    }
  }
  return { region, claims };
}

/** A copy of a layer whose region holds another one too. */
function grown(layer: Layer | undefined, other: Window): { region: Window; claims: Uint16Array } {
  if (!layer) return { region: other, claims: new Uint16Array(widthOf(other) * heightOf(other)) };
  const old = layer.region;
  const region: Window = {
    left: Math.min(old.left, other.left),
    top: Math.min(old.top, other.top),
    right: Math.max(old.right, other.right),
    bottom: Math.max(old.bottom, other.bottom),
  };
  const claims = new Uint16Array(widthOf(region) * heightOf(region));
  for (let y = 0; y < heightOf(old); y++) {
    const row = layer.claims.subarray(y * widthOf(old), (y + 1) * widthOf(old));
    claims.set(row, (old.top - region.top + y) * widthOf(region) + old.left - region.left);
  }
  return { region, claims };
}

/** From a point to the line between two. */
function distance(point: Point, from: Point, to: Point): number {
  const way = { x: to.x - from.x, y: to.y - from.y };
  const length = way.x * way.x + way.y * way.y;
  const share = length ? clamp(((point.x - from.x) * way.x + (point.y - from.y) * way.y) / length, 0, 1) : 0;
  return Math.hypot(point.x - from.x - share * way.x, point.y - from.y - share * way.y);
}
