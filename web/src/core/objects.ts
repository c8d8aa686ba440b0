/** From a window of a slice to its embeddings, and from boxes to prompts on it. */

import { Box, Geometry, Plane, Window, clamp, heightOf, pixelEdges, widthOf, windowKey } from "./geometry";
import { Metadata } from "./metadata";
import { Canvas, advantage } from "./paint";
import { Embeddings, ModelPair } from "./pair";
import { encoderInput } from "./preprocess";
import { Found, fullResolution } from "./resample";
import { planWindows, wholeImage } from "./zoom";

const BOX_BATCH = 16; // boxes decoded at once
const KEPT_WINDOWS = 8; // of an encoded image, besides the whole

export function encodeWindow(model: ModelPair, image: Plane, window: Window): Promise<Embeddings> {
  return model.encode(encoderInput(image, window, model.metadata));
}

/** A box in pixels of the slice as input pixels of a window. */
export function boxOn(window: Window, box: Box, metadata: Metadata): number[] {
  const inside: Box = [
    clamp(box[0], window.left, window.right) - window.left,
    clamp(box[1], window.top, window.bottom) - window.top,
    clamp(box[2], window.left, window.right) - window.left,
    clamp(box[3], window.top, window.bottom) - window.top,
  ];
  return new Geometry(heightOf(window), widthOf(window), metadata.inputSize).boxToInput(inside);
}

/** A box, given by the indices of its pixels, as the model takes it. */
export const inConvention = (box: Box, height: number, width: number, metadata: Metadata): Box =>
  metadata.pixelEdges ? pixelEdges(box, height, width) : box;

/**
 * Segment all boxes of a picture together, as the runtime does with a 2D case.
 *
 * @param boxes by the indices of their pixels, inside the image.
 * @returns the label map: 0 is background, i the object of the i-th box, from 1.
 */
export async function segmentCase(model: ModelPair, image: Plane, boxes: readonly Box[]): Promise<Uint16Array> {
  const { width, height } = image;
  const prompts = boxes.map((box) => inConvention(box, height, width, model.metadata));
  const { windows, chosen } = planWindows(prompts, height, width);
  const canvas = new Canvas(height, width);
  for (const [index, window] of windows.entries()) {
    const objects = prompts.flatMap((_, i) => (chosen[i] === index ? [i] : []));
    if (!objects.length) continue;
    const embeddings = await encodeWindow(model, image, window);
    for (let start = 0; start < objects.length; start += BOX_BATCH) {
      const block = objects.slice(start, start + BOX_BATCH);
      const { logits } = await model.decode(
        embeddings,
        block.map((i) => boxOn(window, prompts[i], model.metadata)),
      );
      block.forEach((object, i) => {
        const found = fullResolution(logits[i], window, model.metadata);
        if (found) canvas.paint(object + 1, found, advantage(prompts[object]));
      });
    }
  }
  return canvas.labels;
}

/** What came of one box. */
export interface Segmented {
  readonly found: Found | null;
  readonly score: number; // the IoU with the object that the model expects of the mask, 0..1
}

/** An image that is encoded once, and then segmented one box after the other, as people draw them. */
export class EncodedImage {
  private readonly whole: Window;
  private readonly embeddings = new Map<string, Promise<Embeddings>>();

  constructor(
    private readonly model: ModelPair,
    private readonly image: Plane,
  ) {
    this.whole = wholeImage(image.height, image.width);
  }

  /** Encode the whole image, unless that was done. */
  async encode(): Promise<void> {
    await this.embeddingsOf(this.whole);
  }

  /** The window that magnifies a box, by the indices of its pixels; null where the whole image shows it well. */
  windowOf(box: Box): Window | null {
    const { windows, chosen } = planWindows([this.prompt(box)], this.image.height, this.image.width);
    return chosen[0] ? windows[chosen[0]] : null;
  }

  /** Segment one object on the whole image, or on the window that magnifies it. */
  async segment(box: Box, window: Window | null): Promise<Segmented> {
    const shown = window ?? this.whole;
    const embeddings = await this.embeddingsOf(shown);
    const { logits, scores } = await this.model.decode(embeddings, [
      boxOn(shown, this.prompt(box), this.model.metadata),
    ]);
    return {
      found: fullResolution(logits[0], shown, this.model.metadata),
      score: clamp(scores[0], 0, 1),
    };
  }

  private prompt(box: Box): Box {
    return inConvention(box, this.image.height, this.image.width, this.model.metadata);
  }

  private embeddingsOf(window: Window): Promise<Embeddings> {
    const key = windowKey(window);
    const kept = this.embeddings.get(key);
    if (kept) return kept;
    const [, oldest] = this.embeddings.keys(); // the first is the whole image
    if (this.embeddings.size > KEPT_WINDOWS && oldest) this.embeddings.delete(oldest);
    const encoded = encodeWindow(this.model, this.image, window);
    this.embeddings.set(key, encoded);
    encoded.catch(() => this.embeddings.delete(key));
    return encoded;
  }
}
