/**
 * An object on a slice: the region that holds it, and of each pixel how strongly the object claims it: 0 not at all,
 * else its logit in steps of 1/256, so that objects that overlap can be held against each other later.
 */

import { Window } from "../core/geometry";
import { Found } from "../core/resample";

export interface Layer {
  readonly region: Window;
  readonly claims: Uint16Array;
}

export const STEPS = 256;
export const STRONGEST = 65535; // what people paint by hand

export function layerOf({ region, logits }: Found): Layer {
  const claims = new Uint16Array(logits.length);
  for (let i = 0; i < logits.length; i++) {
    if (logits[i] > 0) claims[i] = Math.min(Math.max(Math.round(logits[i] * STEPS), 1), STRONGEST - 1);
  }
  return { region, claims };
}
