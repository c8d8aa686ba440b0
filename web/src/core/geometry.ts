/** Rectangles and pictures, in the terms of the runtime (inference/segment/). */

/** A box `xMin, yMin, xMax, yMax`; whether the last pixel or its far edge is meant says who takes it. */
export type Box = readonly [number, number, number, number];

/** One image or one slice: rows of pixels, 0..255, channels interleaved. */
export interface Plane {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array | Float32Array;
}

/** A rectangle of the image in whole pixels; right and bottom are exclusive. */
export interface Window {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export const widthOf = (window: Window): number => window.right - window.left;
export const heightOf = (window: Window): number => window.bottom - window.top;
export const windowKey = (window: Window): string =>
  `${window.left},${window.top},${window.right},${window.bottom}`;

export const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

/** How an image lies in the square input: scaled to the top left corner, padded with zeros. */
export class Geometry {
  readonly resizedHeight: number;
  readonly resizedWidth: number;

  constructor(
    readonly height: number,
    readonly width: number,
    readonly inputSize: number,
  ) {
    const resized = (side: number): number =>
      Math.max(1, Math.floor((side * inputSize) / Math.max(height, width) + 0.5));
    this.resizedHeight = resized(height);
    this.resizedWidth = resized(width);
  }

  /** A box in image pixels to input pixels; each axis by its own exact ratio. */
  boxToInput(box: Box): [number, number, number, number] {
    const ratioX = this.resizedWidth / this.width;
    const ratioY = this.resizedHeight / this.height;
    return [box[0] * ratioX, box[1] * ratioY, box[2] * ratioX, box[3] * ratioY];
  }
}

/** A box by the indices of its pixels to the far edges of its last ones, not beyond the image. */
export const pixelEdges = (box: Box, height: number, width: number): Box => [
  box[0],
  box[1],
  Math.min(box[2] + 1, width),
  Math.min(box[3] + 1, height),
];
