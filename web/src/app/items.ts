/** The objects that people mark, and the steps that can be undone. Nothing here is changed in place. */

import { Box } from "../core/geometry";
import { Layer } from "../workers/layer";

export interface Item {
  readonly label: number; // its number, from 1
  readonly name: string; // may be empty
  readonly box: Box; // by the indices of its pixels
  readonly z: number; // the slice that it was drawn on
  readonly first: number; // slices that its box reaches over; both z where the extent is to be found
  readonly last: number;
  readonly layers: ReadonlyMap<number, Layer> | null; // by slice; null until the box is answered
  readonly score: number | null; // the IoU that the model expects of its mask
  readonly isCorrected: boolean; // by brush or eraser
  readonly isFollowed: boolean; // through the volume
}

// Those of inference/cases/colours.py: they show on dark images and on tissue, to the colour-blind too.
const COLOURS = ["#22feff", "#ff5500", "#4d9fff", "#ffff90", "#e63ae5", "#00ffaa", "#ff3d77", "#d4ff00", "#d873a6"];

export const colourOf = (item: Item): string => COLOURS[(item.label - 1) % COLOURS.length];

export const titleOf = (item: Item): string => item.name || `object ${item.label}`;

export function newItem(items: readonly Item[], box: Box, z: number): Item {
  let label = 1;
  while (items.some((item) => item.label === label)) label++;
  return { label, name: "", box, z, first: z, last: z, layers: null, score: null, isCorrected: false, isFollowed: false };
}

/** An item whose box has changed, so that it is to be segmented anew. */
export const moved = (item: Item, box: Box): Item => ({
  ...item,
  box,
  layers: null,
  score: null,
  isCorrected: false,
  isFollowed: false,
});

/** Whether the box of an item shows on slice `z`. */
export const showsBox = (item: Item, z: number): boolean => item.first <= z && z <= item.last;

export interface Snapshot {
  readonly items: readonly Item[];
  readonly selected: number | null; // a label
}

const EMPTY: Snapshot = { items: [], selected: null };
const MOST_STEPS = 100;

/** The objects now, and how they were before. */
export class History {
  private past: Snapshot[] = [];
  private future: Snapshot[] = [];
  now = EMPTY;

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  /** A step of the user's, which can be undone. */
  commit(next: Snapshot): void {
    this.past = [...this.past, this.now].slice(-MOST_STEPS);
    this.future = [];
    this.now = next;
  }

  /** What came of a step: belongs to it. */
  amend(next: Snapshot): void {
    this.now = next;
  }

  undo(): void {
    const before = this.past.pop();
    if (!before) return;
    this.future.push(this.now);
    this.now = before;
  }

  redo(): void {
    const next = this.future.pop();
    if (!next) return;
    this.past.push(this.now);
    this.now = next;
  }

  /** From here on nothing can be undone. */
  forget(): void {
    this.past = [];
    this.future = [];
  }
}
