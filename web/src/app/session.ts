/** What is open: the image, what is shown of it, the objects on it. Tells listeners when any of that changes. */

import { Box, Plane, clamp } from "../core/geometry";
import { Image } from "../io/image";
import { Shades, toGrey } from "../io/intensity";
import { History, Item, Snapshot } from "./items";
import { LabelMaps } from "./labels";

export type Tool = "box" | "brush" | "eraser" | "shades" | "pan";

export class Session {
  readonly history = new History();
  readonly maps: LabelMaps;
  z: number;
  shades: Shades;

  constructor(
    readonly image: Image,
    readonly number: number,
    private readonly onChange: () => void,
  ) {
    this.maps = new LabelMaps(image);
    this.z = image.depth >> 1;
    this.shades = image.shades;
  }

  get items(): readonly Item[] {
    return this.history.now.items;
  }

  get selected(): Item | null {
    return this.items.find(({ label }) => label === this.history.now.selected) ?? null;
  }

  get isVolume(): boolean {
    return this.image.depth > 1;
  }

  show(z: number): void {
    this.z = clamp(z, 0, this.image.depth - 1);
    this.onChange();
  }

  shade(shades: Shades): void {
    this.shades = shades;
    this.onChange();
  }

  select(label: number | null): void {
    this.amend({ selected: label });
  }

  commit(change: Partial<Snapshot>): void {
    this.history.commit({ ...this.history.now, ...change });
    this.onChange();
  }

  amend(change: Partial<Snapshot>): void {
    this.history.amend({ ...this.history.now, ...change });
    this.onChange();
  }

  undo(): void {
    this.history.undo();
    this.onChange();
  }

  redo(): void {
    this.history.redo();
    this.onChange();
  }

  /** The items with one of them replaced. */
  replaced(item: Item): readonly Item[] {
    return this.items.map((other) => (other.label === item.label ? item : other));
  }

  /** Names a slice as it is shown, and segmented. */
  key(z: number): string {
    return `${z}${this.keyOfShades}`;
  }

  get keyOfShades(): string {
    return `/${this.number}/${this.shades.level}/${this.shades.width}`;
  }

  /** The slice of that name, 0..255. */
  plane(key: string): Plane {
    const [z, , level, width] = key.split("/").map(Number);
    return this.planeOf(z, { level, width });
  }

  planeOf(z: number, shades: Shades): Plane {
    const { width, height, channels, values } = this.image;
    const size = width * height * channels;
    const own = values.subarray(z * size, (z + 1) * size);
    const data = channels === 3 ? (own as Uint8Array).slice() : toGrey(own, shades);
    return { width, height, channels, data };
  }

  /** A box with whole corners inside the image, the first before the last. */
  fitted(box: Box): Box {
    const [x0, y0, x1, y1] = box.map(Math.floor);
    const { width, height } = this.image;
    return [
      clamp(Math.min(x0, x1), 0, width - 1),
      clamp(Math.min(y0, y1), 0, height - 1),
      clamp(Math.max(x0, x1), 0, width - 1),
      clamp(Math.max(y0, y1), 0, height - 1),
    ];
  }
}
