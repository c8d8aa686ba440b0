/**
 * Through a volume, as the runtime's strategy `propagate` goes (inference/segment/route.py, prompts.py, sweep.py):
 * every object on the slice that it starts from, then one sweep up and one down, each slice told what is known from the
 * last by the volume decoder's state. docs/volumes.md says what that is.
 */

import { Box, Plane, Window, clamp, heightOf, widthOf, windowKey } from "./geometry";
import { neighbourMaps } from "./neighbours";
import { boxOn, encodeWindow, inConvention } from "./objects";
import { Embeddings, ModelPair, State } from "./pair";
import { Found, fullResolution, tightBox } from "./resample";
import { MAX_WINDOWS_OF_A_VOLUME, planWindows } from "./zoom";

// The next slice's box is the last mask's, grown by a share of the window's longest side; further where the extent is
// given, since the given box clips it then.
const MARGIN_FOUND = 3 / 256;
const MARGIN_GIVEN = 12 / 256;
const UNKNOWN = -1; // slices to an end that is to be found
const KEPT_EMBEDDINGS = 64; // 2.4 MB each, of slices on which the sweeps meet

export interface Volume {
  readonly depth: number;
  readonly height: number;
  readonly width: number;
  plane(z: number): Plane | Promise<Plane>;
}

export interface Marked {
  readonly box: Box; // by the indices of its pixels
  readonly first: number; // slices, the last belongs to the object
  readonly last: number;
}

export interface Progress {
  /** An object (from 0) on a slice; called once for each slice that it is found on. */
  found(object: number, z: number, found: Found): void;
  /** After every slice; the finished fraction, 0..1. A promise is waited for. */
  step(fraction: number): void | Promise<void>;
  /** Whether to leave it at that. */
  stopped(): boolean;
}

/** The prompts of all objects on the next slice of a sweep. */
interface Track {
  box: Box;
  state: State | null;
  ended: boolean;
}

interface Extent {
  readonly first: number;
  readonly start: number;
  readonly last: number;
  readonly toFind: boolean;
}

interface Visit {
  readonly z: number;
  readonly objects: readonly number[];
}

/**
 * Follow objects through a volume.
 *
 * @param find an object marked on one slice only reaches as far as it is found.
 */
export async function segmentVolume(
  model: ModelPair,
  volume: Volume,
  objects: readonly Marked[],
  find: boolean,
  progress: Progress,
): Promise<void> {
  const sweep = new Sweep(model, volume, objects, find, progress);
  await sweep.run();
}

class Sweep {
  private readonly prompts: readonly Box[];
  private readonly extents: readonly Extent[];
  private readonly windows: readonly Window[];
  private readonly chosen: readonly number[];
  private readonly neighbours = new Map<number, Float32Array[]>(); // by window
  private readonly visitsLeft = new Map<number, number>(); // by slice
  private readonly kept = new Map<string, Embeddings>();
  private steps = 0;
  private done = 0;

  constructor(
    private readonly model: ModelPair,
    private readonly volume: Volume,
    objects: readonly Marked[],
    find: boolean,
    private readonly progress: Progress,
  ) {
    const { height, width, depth } = volume;
    this.prompts = objects.map(({ box }) => inConvention(box, height, width, model.metadata));
    this.extents = objects.map(({ first, last }) => {
      const toFind = find && first === last;
      const start = Math.floor((first + last) / 2);
      return { first: toFind ? 0 : first, start, last: toFind ? depth - 1 : last, toFind };
    });
    const planned = planWindows(this.prompts, height, width, MAX_WINDOWS_OF_A_VOLUME);
    this.windows = planned.windows;
    this.chosen = planned.chosen;
  }

  async run(): Promise<void> {
    const slices = Array.from({ length: this.volume.depth }, (_, z) => z);
    const visits = (order: readonly number[], takesPart: (extent: Extent, z: number) => boolean): Visit[] =>
      order
        .map((z) => ({ z, objects: [...this.extents.keys()].filter((i) => takesPart(this.extents[i], z)) }))
        .filter(({ objects }) => objects.length);
    const starts = visits(slices, ({ start }, z) => start === z);
    const up = visits(slices, ({ start, last }, z) => start < z && z <= last);
    const down = visits(slices.toReversed(), ({ start, first }, z) => first <= z && z < start);
    for (const { z } of [...starts, ...up, ...down]) this.visitsLeft.set(z, (this.visitsLeft.get(z) ?? 0) + 1);
    this.steps = starts.length + up.length + down.length;

    const tracks = this.prompts.map((box): Track => ({ box, state: null, ended: false }));
    await this.walk(starts, tracks);
    for (const way of [up, down]) {
      const own = tracks.map((track) => ({ ...track }));
      await this.walk(way, own);
    }
  }

  private async walk(visits: readonly Visit[], tracks: Track[]): Promise<void> {
    for (const { z, objects } of visits) {
      if (this.progress.stopped()) return;
      this.visitsLeft.set(z, this.visitsLeft.get(z)! - 1);
      for (const window of this.windows.keys()) {
        const left = objects.filter((i) => this.chosen[i] === window && !tracks[i].ended);
        if (!left.length) continue;
        const embeddings = await this.embeddingsOf(z, window);
        for (const object of left) await this.follow(object, z, window, embeddings, tracks);
      }
      await this.progress.step(++this.done / this.steps);
    }
  }

  /** Segment an object on a slice; what comes of that prompts the next one. */
  private async follow(
    object: number,
    z: number,
    windowIndex: number,
    embeddings: Embeddings,
    tracks: Track[],
  ): Promise<void> {
    const window = this.windows[windowIndex];
    const { metadata } = this.model;
    const { toFind, start } = this.extents[object];
    const { logits, presence, state } = await this.model.follow(
      embeddings,
      boxOn(window, tracks[object].box, metadata),
      place(this.extents[object], z),
      this.neighboursOn(windowIndex)[object],
      tracks[object].state,
    );
    const given = this.prompts[object];
    const isThere = !toFind || start === z || presence > 0;
    const found = isThere ? fullResolution(logits, window, metadata) : null;
    const tight = found && tightBox(found);
    const box = tight ? (toFind ? grown(tight, window, MARGIN_FOUND) : within(grown(tight, window, MARGIN_GIVEN), given)) : given;
    tracks[object] = { box, state, ended: toFind && !tight };
    if (found && tight) this.progress.found(object, z, found);
  }

  private neighboursOn(windowIndex: number): Float32Array[] {
    let maps = this.neighbours.get(windowIndex);
    if (!maps) {
      const { metadata } = this.model;
      const given = this.prompts.map((box) => boxOn(this.windows[windowIndex], box, metadata));
      const meet = (one: number, other: number): boolean =>
        this.extents[one].first <= this.extents[other].last && this.extents[other].first <= this.extents[one].last;
      maps = neighbourMaps(given, meet, metadata.inputSize);
      this.neighbours.set(windowIndex, maps);
    }
    return maps;
  }

  private async embeddingsOf(z: number, windowIndex: number): Promise<Embeddings> {
    const window = this.windows[windowIndex];
    const key = `${z}:${windowKey(window)}`;
    const embeddings = this.kept.get(key) ?? (await encodeWindow(this.model, await this.volume.plane(z), window));
    if (!this.visitsLeft.get(z)) this.kept.delete(key);
    else if (this.kept.size < KEPT_EMBEDDINGS) this.kept.set(key, embeddings);
    return embeddings;
  }
}

/** Where slice `z` lies in an extent, as the volume decoder takes it. */
function place({ first, start, last, toFind }: Extent, z: number): number[] {
  return [...(toFind ? [UNKNOWN, UNKNOWN] : [z - first, last - z]), Math.abs(z - start)];
}

function grown(box: Box, window: Window, share: number): Box {
  const margin = share * Math.max(heightOf(window), widthOf(window));
  return [box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin];
}

/** `box`, but not beyond the `given` one, which holds the object on every slice. */
function within(box: Box, given: Box): Box {
  const clipped: Box = [
    clamp(box[0], given[0], given[2]),
    clamp(box[1], given[1], given[3]),
    clamp(box[2], given[0], given[2]),
    clamp(box[3], given[1], given[3]),
  ];
  return clipped[2] - clipped[0] >= 1 && clipped[3] - clipped[1] >= 1 ? clipped : given;
}
