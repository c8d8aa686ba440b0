/** The label map of a slice, and what is measured on it. Who has a contested pixel is decided as the runtime does. */

import { forEachPixel, advantage } from "../core/paint";
import { pixelEdges } from "../core/geometry";
import { Image } from "../io/image";
import { Layer, STEPS } from "../workers/layer";
import { Item } from "./items";

/** Of one object on one slice. */
export interface Figures {
  readonly count: number; // pixels
  readonly sum: number; // of their intensities, and of the squares of these
  readonly squares: number;
  readonly least: number;
  readonly greatest: number;
}

export interface SliceLabels {
  readonly labels: Uint16Array;
  readonly figures: ReadonlyMap<number, Figures>; // by label
}

interface Painted {
  readonly item: Item;
  readonly layer: Layer;
}

interface Remembered {
  readonly layers: readonly (Layer | number)[]; // of which it was painted
  readonly figures: SliceLabels["figures"];
  readonly labels: WeakRef<Uint16Array>; // painted anew where it is gone
}

/** Paints slices, and remembers what it has painted as long as nothing on it changes. */
export class LabelMaps {
  private readonly slices = new Map<number, Remembered>();

  constructor(private readonly image: Image) {}

  slice(items: readonly Item[], z: number): SliceLabels {
    const painted = items.flatMap((item) => {
      const layer = item.layers?.get(z);
      return layer ? [{ item, layer }] : [];
    });
    const layers = painted.flatMap(({ item, layer }) => [item.label, layer]);
    const known = this.slices.get(z);
    const isSame = known?.layers.length === layers.length && layers.every((layer, i) => layer === known.layers[i]);
    const labels = isSame ? known?.labels.deref() : undefined;
    if (known && labels) return { labels, figures: known.figures };
    const fresh = this.paint(painted);
    const figures = isSame && known ? known.figures : this.measure(painted, fresh, z);
    this.slices.set(z, { layers, figures, labels: new WeakRef(fresh) });
    return { labels: fresh, figures };
  }

  /** Figures of an object over all its slices; null where no pixel is its own. */
  total(items: readonly Item[], item: Item): Figures | null {
    const parts = [...(item.layers?.keys() ?? [])].flatMap((z) => {
      const own = this.slice(items, z).figures.get(item.label);
      return own ? [own] : [];
    });
    return parts.length ? parts.reduce(added) : null;
  }

  private paint(painted: readonly Painted[]): Uint16Array {
    const { width, height } = this.image;
    const labels = new Uint16Array(width * height);
    if (painted.length === 1) {
      const [{ item, layer }] = painted;
      forEachPixel(layer.region, width, (at, i) => {
        if (layer.claims[i]) labels[at] = item.label;
      });
      return labels;
    }
    const best = new Float32Array(painted.length ? width * height : 0).fill(-Infinity);
    for (const { item, layer } of painted) {
      const ahead = advantage(pixelEdges(item.box, height, width));
      forEachPixel(layer.region, width, (at, i) => {
        const score = layer.claims[i] / STEPS + ahead;
        if (layer.claims[i] && score > best[at]) {
          best[at] = score;
          labels[at] = item.label;
        }
      });
    }
    return labels;
  }

  private measure(painted: readonly Painted[], labels: Uint16Array, z: number): Map<number, Figures> {
    const { width, height, channels, values } = this.image;
    const start = z * width * height;
    const figures = new Map<number, Figures>();
    for (const { item, layer } of painted) {
      let [count, sum, squares, least, greatest] = [0, 0, 0, Infinity, -Infinity];
      forEachPixel(layer.region, width, (at) => {
        if (labels[at] !== item.label) return;
        const value = channels === 1 ? values[start + at] : 0;
        count++;
        sum += value;
        squares += value * value;
        if (value < least) least = value;
        if (value > greatest) greatest = value;
      });
      if (count) figures.set(item.label, { count, sum, squares, least, greatest });
    }
    return figures;
  }
}

const added = (a: Figures, b: Figures): Figures => ({
  count: a.count + b.count,
  sum: a.sum + b.sum,
  squares: a.squares + b.squares,
  least: Math.min(a.least, b.least),
  greatest: Math.max(a.greatest, b.greatest),
});
