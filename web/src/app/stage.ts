/** Draws the slice, the masks and the boxes, and knows where on the screen a pixel of the image lies. */

import { Box, Window, heightOf, widthOf } from "../core/geometry";
import { spacingOf } from "../io/image";
import { Layer } from "../workers/layer";
import { Point } from "./brush";
import { Item, colourOf, showsBox, titleOf } from "./items";
import { outlineOf } from "./outline";
import { Session } from "./session";

const FILL = 0.18; // opacity of masks
const MARGIN = 12; // around the image where it fits, screen pixels
const MOST_SCALE = 64;
const TAG = 20; // height of an object's tag, screen pixels
const SMOOTH_BELOW = 6; // screen pixels per pixel of the image, above which single pixels are to be seen

/** The picture of one object's mask on one slice. */
interface Drawn {
  readonly labels: Uint16Array;
  readonly region: Window;
  readonly outline: Path2D;
  readonly fill: HTMLCanvasElement;
}

export interface Sketch {
  readonly box: Box | null; // that is being drawn
  readonly brush: { readonly at: Point; readonly radius: number } | null;
}

export class Stage {
  sketch: Sketch = { box: null, brush: null };
  private readonly context: CanvasRenderingContext2D;
  private session: Session | null = null;
  private scale = 1; // screen pixels per pixel of the image, along x
  private origin: Point = { x: 0, y: 0 }; // of the image, on the screen
  private isFitted = true;
  private readonly base = document.createElement("canvas");
  private baseKey = "";
  private drawn = new Map<number, Drawn>();
  private readonly previews = new Map<Item, Layer>(); // what is known of objects whose masks are not there yet
  private isAsked = false;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.context = canvas.getContext("2d")!;
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  open(session: Session): void {
    this.session = session;
    this.baseKey = "";
    this.drawn.clear();
    this.previews.clear();
    this.fit();
  }

  /** Show this of an object until its mask is there. */
  preview(item: Item, layer: Layer): void {
    this.previews.set(item, layer);
    this.redraw();
  }

  /** Show all of the image. */
  fit(): void {
    if (!this.session) return;
    const { width, height } = this.session.image;
    const { clientWidth, clientHeight } = this.canvas;
    const tall = height * this.aspect;
    this.scale = Math.max(Math.min((clientWidth - 2 * MARGIN) / width, (clientHeight - 2 * MARGIN) / tall), 0.01);
    this.origin = { x: (clientWidth - width * this.scale) / 2, y: (clientHeight - tall * this.scale) / 2 };
    this.isFitted = true;
    this.redraw();
  }

  zoom(factor: number, at: Point): void {
    const scale = Math.min(Math.max(this.scale * factor, 0.02), MOST_SCALE);
    const ratio = scale / this.scale;
    this.origin = { x: at.x - (at.x - this.origin.x) * ratio, y: at.y - (at.y - this.origin.y) * ratio };
    this.scale = scale;
    this.isFitted = false;
    this.redraw();
  }

  pan(x: number, y: number): void {
    this.origin = { x: this.origin.x + x, y: this.origin.y + y };
    this.isFitted = false;
    this.redraw();
  }

  toImage(screen: Point): Point {
    return {
      x: (screen.x - this.origin.x) / this.scale,
      y: (screen.y - this.origin.y) / (this.scale * this.aspect),
    };
  }

  /** Screen pixels per pixel of the image. */
  get pixelSize(): number {
    return this.scale;
  }

  /** A box of pixel indices on the screen: left, top, right, bottom. */
  toScreen(box: Box): [number, number, number, number] {
    const [x, y] = [this.scale, this.scale * this.aspect];
    return [
      this.origin.x + box[0] * x,
      this.origin.y + box[1] * y,
      this.origin.x + (box[2] + 1) * x,
      this.origin.y + (box[3] + 1) * y,
    ];
  }

  /** Where the tag of an object lies on the screen; null where the object is not on this slice. */
  tagOf(item: Item): { readonly x: number; readonly y: number; readonly width: number; readonly height: number } | null {
    if (!this.session) return null;
    const { z } = this.session;
    const region = this.drawn.get(item.label)?.region;
    const box: Box | null = showsBox(item, z)
      ? item.box
      : region
        ? [region.left, region.top, region.right - 1, region.bottom - 1]
        : null;
    if (!box) return null;
    this.context.font = "600 12px system-ui, sans-serif";
    const [left, top] = this.toScreen(box);
    const width = this.context.measureText(tagText(item)).width + 14;
    return { x: left - 1, y: top - TAG - 2 < 2 ? top + 2 : top - TAG - 2, width, height: TAG };
  }

  redraw(): void {
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(() => {
      this.isAsked = false;
      this.draw();
    });
  }

  private get aspect(): number {
    const spacing = this.session && spacingOf(this.session.image);
    return spacing ? spacing[1] / spacing[2] : 1;
  }

  private resize(): void {
    const ratio = window.devicePixelRatio;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    if (this.isFitted) this.fit();
    this.isAsked = false;
    this.draw(); // at once: a canvas that was resized is empty
  }

  private draw(): void {
    const { context, session } = this;
    const ratio = window.devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    if (!session) return;
    this.update(session);
    const [x, y] = [this.scale, this.scale * this.aspect];
    context.setTransform(ratio * x, 0, 0, ratio * y, ratio * this.origin.x, ratio * this.origin.y);
    context.imageSmoothingEnabled = this.scale < SMOOTH_BELOW;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.base, 0, 0);
    const selected = session.selected?.label;
    for (const item of session.items) {
      const drawn = this.drawn.get(item.label);
      if (!drawn) continue;
      context.globalAlpha = FILL;
      context.drawImage(drawn.fill, drawn.region.left, drawn.region.top);
      context.globalAlpha = 1;
      for (const [colour, width] of [["rgb(0 0 0 / 0.6)", 4], [colourOf(item), item.label === selected ? 2.5 : 2]] as const) {
        context.strokeStyle = colour;
        context.lineWidth = width / this.scale;
        context.lineCap = "round";
        context.stroke(drawn.outline);
      }
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const item of session.items) this.drawBox(item, session);
    for (const item of session.items) this.drawTag(item);
    this.drawSketch(session);
  }

  /** Bring base and masks up to date. */
  private update(session: Session): void {
    const { z, shades, image, items } = session;
    const key = session.key(z);
    if (key !== this.baseKey) {
      const plane = session.planeOf(z, shades);
      const pixels = new ImageData(image.width, image.height);
      const { data, channels } = plane;
      for (let i = 0, from = 0; i < pixels.data.length; i += 4, from += channels) {
        pixels.data[i] = data[from];
        pixels.data[i + 1] = data[channels === 3 ? from + 1 : from];
        pixels.data[i + 2] = data[channels === 3 ? from + 2 : from];
        pixels.data[i + 3] = 255;
      }
      this.base.width = image.width;
      this.base.height = image.height;
      this.base.getContext("2d")!.putImageData(pixels, 0, 0);
      this.baseKey = key;
    }
    for (const item of this.previews.keys()) if (!items.includes(item)) this.previews.delete(item);
    const shown = items.map((item) => {
      const layer = this.previews.get(item);
      return layer && !item.layers ? { ...item, layers: new Map([[item.z, layer]]) } : item;
    });
    const { labels } = session.maps.slice(shown, z);
    const drawn = new Map<number, Drawn>();
    for (const item of shown) {
      const layer = item.layers?.get(z);
      if (!layer) continue;
      const known = this.drawn.get(item.label);
      drawn.set(item.label, known?.labels === labels ? known : this.picture(item, labels, layer.region));
    }
    this.drawn = drawn;
  }

  private picture(item: Item, labels: Uint16Array, region: Window): Drawn {
    const { width, height } = this.session!.image;
    const fill = document.createElement("canvas");
    fill.width = widthOf(region);
    fill.height = heightOf(region);
    const context = fill.getContext("2d")!;
    const pixels = context.createImageData(fill.width, fill.height);
    const colour = Number.parseInt(colourOf(item).slice(1), 16);
    const words = new Uint32Array(pixels.data.buffer);
    const word = 0xff000000 | ((colour & 0xff) << 16) | (colour & 0xff00) | (colour >> 16);
    for (let y = region.top, i = 0; y < region.bottom; y++) {
      for (let x = region.left; x < region.right; x++, i++) if (labels[y * width + x] === item.label) words[i] = word;
    }
    context.putImageData(pixels, 0, 0);
    return { labels, region, outline: outlineOf(labels, item.label, region, width, height), fill };
  }

  private drawBox(item: Item, session: Session): void {
    if (!showsBox(item, session.z)) return;
    const isSelected = item.label === session.selected?.label;
    const [left, top, right, bottom] = this.toScreen(item.box);
    const { context } = this;
    context.globalAlpha = isSelected ? 1 : 0.55;
    this.frame([left, top, right, bottom], colourOf(item), isSelected ? [] : [4, 4]);
    if (isSelected) for (const { x, y } of handlesOf([left, top, right, bottom])) this.handle(x, y, colourOf(item));
    context.globalAlpha = 1;
  }

  private frame([left, top, right, bottom]: readonly number[], colour: string, dashes: number[]): void {
    const { context } = this;
    context.setLineDash(dashes);
    for (const [stroke, width] of [["rgb(0 0 0 / 0.5)", 3], [colour, 1.5]] as const) {
      context.strokeStyle = stroke;
      context.lineWidth = width;
      context.strokeRect(left, top, right - left, bottom - top);
    }
    context.setLineDash([]);
  }

  private handle(x: number, y: number, colour: string): void {
    const { context } = this;
    context.beginPath();
    context.arc(x, y, 4.5, 0, 2 * Math.PI);
    context.fillStyle = "#0b0e12";
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = colour;
    context.stroke();
  }

  private drawTag(item: Item): void {
    const tag = this.tagOf(item);
    if (!tag) return;
    const { context } = this;
    context.beginPath();
    context.roundRect(tag.x, tag.y, tag.width, tag.height, 5);
    context.fillStyle = colourOf(item);
    context.fill();
    context.fillStyle = "#0b0e12";
    context.textBaseline = "middle";
    context.fillText(tagText(item), tag.x + 7, tag.y + tag.height / 2 + 0.5);
  }

  private drawSketch(session: Session): void {
    const { box, brush } = this.sketch;
    if (box) this.frame(this.toScreen(session.fitted(box)), "#ffffff", [6, 4]);
    if (brush) {
      const { context } = this;
      const [x, y] = this.toScreen([brush.at.x, brush.at.y, brush.at.x, brush.at.y]);
      context.beginPath();
      context.ellipse(x, y, brush.radius * this.scale, brush.radius * this.scale * this.aspect, 0, 0, 2 * Math.PI);
      context.lineWidth = 3;
      context.strokeStyle = "rgb(0 0 0 / 0.6)";
      context.stroke();
      context.lineWidth = 1.5;
      context.strokeStyle = "#ffffff";
      context.stroke();
    }
  }
}

const tagText = (item: Item): string => (item.name ? `${item.label} ${titleOf(item)}` : String(item.label));

export interface Handle extends Point {
  readonly columns: readonly (0 | 2)[]; // of the box, that it moves
  readonly rows: readonly (1 | 3)[];
}

/** The corners and the middles of the sides of a box on the screen. */
export function handlesOf([left, top, right, bottom]: readonly number[]): Handle[] {
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  const isLarge = { wide: right - left > 48, tall: bottom - top > 48 }; // else the middles lie too close to the corners
  return [
    { x: left, y: top, columns: [0], rows: [1] },
    { x: right, y: top, columns: [2], rows: [1] },
    { x: left, y: bottom, columns: [0], rows: [3] },
    { x: right, y: bottom, columns: [2], rows: [3] },
    ...(isLarge.wide ? [{ x, y: top, columns: [], rows: [1] } as Handle, { x, y: bottom, columns: [], rows: [3] } as Handle] : []),
    ...(isLarge.tall ? [{ x: left, y, columns: [0], rows: [] } as Handle, { x: right, y, columns: [2], rows: [] } as Handle] : []),
  ];
}
