/** Mouse, touch and pen on the stage: boxes are drawn, moved and resized, masks corrected, the view moved. */

import { Box, clamp } from "../core/geometry";
import { Layer } from "../workers/layer";
import { Point, stroked } from "./brush";
import { Item, moved, newItem, showsBox } from "./items";
import { Session, Tool } from "./session";
import { Handle, Stage, handlesOf } from "./stage";

const CLICK = 4; // screen pixels; a shorter way is no box
const NOTCH = 100; // of a wheel; trackpads send less at a time
const NEAR = { mouse: 7, pen: 10, touch: 20 }; // from a handle or a border, screen pixels

export interface Controls {
  readonly session: Session | null;
  readonly tool: Tool;
  readonly brushRadius: number; // screen pixels
}

/** What a pointer that is down does. */
interface Gesture {
  move(at: Point): void;
  end(at: Point, isCancelled: boolean): void;
}

/** What lies under the pointer. */
type Hit = { readonly kind: "handle"; readonly item: Item; readonly handle: Handle } | { readonly kind: "edge"; readonly item: Item };

export function listen(stage: Stage, controls: Controls): void {
  const { canvas } = stage;
  const pointers = new Map<number, Point>();
  let kind = ""; // of the pointers that are down: mouse, pen or touch
  let gesture: Gesture | null = null;
  let rolled = 0; // of the wheel, that has not moved a slice yet

  const place = (event: PointerEvent | WheelEvent): Point => {
    const { left, top } = canvas.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  };

  canvas.addEventListener("pointerdown", (event) => {
    const { session } = controls;
    if (!session) return;
    const at = place(event);
    if (pointers.size && event.pointerType !== kind) {
      if (event.pointerType !== "pen") return; // the palm of the hand that holds it
      gesture?.end(at, true);
      gesture = null;
      pointers.clear();
    }
    kind = event.pointerType;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at);
    if (pointers.size === 2) {
      gesture?.end(at, true);
      gesture = null; // two fingers move the view
    } else if (pointers.size === 1) {
      gesture = begin(session, at, event);
    }
  });

  canvas.addEventListener("pointermove", (event) => {
    const { session } = controls;
    if (!session) return;
    const at = place(event);
    const before = pointers.get(event.pointerId);
    if (pointers.size && !before) return;
    if (pointers.size === 2) pinch(stage, pointers, event.pointerId, at);
    if (before) pointers.set(event.pointerId, at);
    gesture?.move(at);
    hover(session, at, event);
  });

  const finish = (event: PointerEvent, isCancelled: boolean): void => {
    if (!pointers.delete(event.pointerId)) return;
    gesture?.end(place(event), isCancelled);
    gesture = null;
  };
  canvas.addEventListener("pointerup", (event) => finish(event, false));
  canvas.addEventListener("pointercancel", (event) => finish(event, true));
  canvas.addEventListener("pointerleave", () => {
    if (!pointers.size) sketch({ brush: null });
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => {
    if (controls.tool === "pan") stage.fit();
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      const { session } = controls;
      if (!session) return;
      event.preventDefault();
      const turned = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? NOTCH / 3 : 1);
      if (!session.isVolume || event.ctrlKey) {
        stage.zoom(Math.exp(-turned / 300), place(event));
        return;
      }
      rolled += turned;
      const slices = Math.trunc(rolled / NOTCH);
      rolled -= slices * NOTCH;
      if (slices) session.show(session.z + slices);
    },
    { passive: false },
  );

  function begin(session: Session, at: Point, event: PointerEvent): Gesture {
    if (event.button === 1 || controls.tool === "pan") return panning(at);
    if (event.button === 2 || controls.tool === "shades") return shading(session, at);
    if (controls.tool === "brush" || controls.tool === "eraser") return painting(session, at);
    const hit = hitAt(session, at, event.pointerType);
    if (hit) return adjusting(session, at, hit);
    return drawing(session, at);
  }

  function panning(start: Point): Gesture {
    let last = start;
    return {
      move(at) {
        stage.pan(at.x - last.x, at.y - last.y);
        last = at;
      },
      end: () => undefined,
    };
  }

  /** To the right wider, upwards brighter, as in other viewers. */
  function shading(session: Session, start: Point): Gesture {
    const { level, width } = session.shades;
    const [low, high] = session.image.range;
    const step = Math.max(Math.min((high - low) / 512, 4), (high - low) / 5000);
    return {
      move(at) {
        if (session.image.channels === 3) return;
        const wide = Math.max(width + (at.x - start.x) * step, step);
        session.shade({ level: level + (at.y - start.y) * step, width: wide });
      },
      end: () => undefined,
    };
  }

  function painting(session: Session, start: Point): Gesture {
    const adds = controls.tool === "brush";
    const { selected, z } = session;
    if (!selected?.layers) return { move: () => undefined, end: () => undefined };
    const before = session.history.now;
    const radius = controls.brushRadius / stage.pixelSize;
    let last = stage.toImage(start);
    let layer: Layer | undefined = selected.layers.get(z);
    const paint = (to: Point): void => {
      layer = stroked(layer, last, to, radius, adds, session.image);
      last = to;
      const layers = new Map(selected.layers).set(z, layer);
      session.amend({ items: session.replaced({ ...selected, layers, isCorrected: true }) });
    };
    paint(last);
    return {
      move: (at) => paint(stage.toImage(at)),
      end: (_, isCancelled) => {
        const { items } = session;
        session.history.amend(before);
        if (!isCancelled) session.history.commit({ ...before, items });
        session.amend({});
      },
    };
  }

  function drawing(session: Session, start: Point): Gesture {
    const from = stage.toImage(start);
    const boxTo = (at: Point): Box => {
      const to = stage.toImage(at);
      return [from.x, from.y, to.x, to.y];
    };
    return {
      move: (at) => sketch({ box: isClick(start, at) ? null : boxTo(at) }),
      end: (at, isCancelled) => {
        sketch({ box: null });
        if (isCancelled) return;
        if (isClick(start, at)) session.select(itemAt(session, stage.toImage(at)));
        else addBox(session, boxTo(at));
      },
    };
  }

  function adjusting(session: Session, start: Point, hit: Hit): Gesture {
    const { item } = hit;
    const before = { ...session.history.now, selected: item.label };
    session.select(item.label);
    const boxAt = (at: Point): Box => {
      const [from, to] = [stage.toImage(start), stage.toImage(at)];
      const by = { x: Math.round(to.x - from.x), y: Math.round(to.y - from.y) };
      return hit.kind === "handle" ? resized(item.box, hit.handle, by) : shifted(session, item.box, by);
    };
    return {
      move: (at) => session.amend({ items: session.replaced({ ...item, box: session.fitted(boxAt(at)) }) }),
      end: (at, isCancelled) => {
        session.history.amend(before);
        const box = session.fitted(boxAt(at));
        const isMoved = box.some((side, i) => side !== item.box[i]);
        if (isMoved && !isCancelled) session.commit({ items: session.replaced(moved(item, box)) });
        else session.amend({});
      },
    };
  }

  function hitAt(session: Session, at: Point, pointer: string): Hit | null {
    const near = NEAR[pointer as keyof typeof NEAR] ?? NEAR.mouse;
    const { selected, z } = session;
    if (selected && showsBox(selected, z)) {
      const handle = handlesOf(stage.toScreen(selected.box)).find(({ x, y }) => Math.hypot(x - at.x, y - at.y) <= near + 2);
      if (handle) return { kind: "handle", item: selected, handle };
    }
    const ordered = selected ? [selected, ...session.items.filter((item) => item !== selected)] : session.items;
    const item = ordered.find((other) => showsBox(other, z) && (isOnTag(other, at) || (other === selected && isOnEdge(other, at, near))));
    return item ? { kind: "edge", item } : null;
  }

  function isOnTag(item: Item, at: Point): boolean {
    const tag = stage.tagOf(item);
    return Boolean(tag && at.x >= tag.x && at.x <= tag.x + tag.width && at.y >= tag.y && at.y <= tag.y + tag.height);
  }

  function isOnEdge(item: Item, at: Point, near: number): boolean {
    const [left, top, right, bottom] = stage.toScreen(item.box);
    const isInside = (margin: number): boolean =>
      at.x > left - margin && at.x < right + margin && at.y > top - margin && at.y < bottom + margin;
    return isInside(near) && !isInside(-near);
  }

  function hover(session: Session, at: Point, event: PointerEvent): void {
    const isBrush = controls.tool === "brush" || controls.tool === "eraser";
    const image = stage.toImage(at);
    sketch({ brush: isBrush ? { at: { x: image.x, y: image.y }, radius: controls.brushRadius / stage.pixelSize } : null });
    const cursors: Record<Tool, string> = { box: "crosshair", brush: "none", eraser: "none", shades: "ns-resize", pan: "grab" };
    const hit = controls.tool === "box" && !pointers.size ? hitAt(session, at, event.pointerType) : null;
    if (!pointers.size) canvas.style.cursor = hit ? cursorOf(hit) : cursors[controls.tool];
  }

  function sketch(part: Partial<Stage["sketch"]>): void {
    const next = { ...stage.sketch, ...part };
    if (next.box || next.brush || stage.sketch.box || stage.sketch.brush) stage.redraw();
    stage.sketch = next;
  }
}

/** A new object, marked by a box with any corners. */
export function addBox(session: Session, box: Box): void {
  const item = newItem(session.items, session.fitted(box), session.z);
  session.commit({ items: [...session.items, item], selected: item.label });
}

/** A box moved as a whole, as far as the image reaches. */
export function shifted(session: Session, box: Box, by: Point): Box {
  const x = clamp(by.x, -box[0], session.image.width - 1 - box[2]);
  const y = clamp(by.y, -box[1], session.image.height - 1 - box[3]);
  return [box[0] + x, box[1] + y, box[2] + x, box[3] + y];
}

function resized(box: Box, handle: Handle, by: Point): Box {
  const next: [number, number, number, number] = [...box];
  for (const column of handle.columns) next[column] += by.x;
  for (const row of handle.rows) next[row] += by.y;
  return next;
}

const isClick = (a: Point, b: Point): boolean => Math.hypot(a.x - b.x, a.y - b.y) < CLICK;

/** The label of the object at a pixel: that whose mask it is, else the smallest whose box holds it. */
function itemAt(session: Session, { x, y }: Point): number | null {
  const { width, height } = session.image;
  if (x < 0 || y < 0 || x >= width || y >= height) return null;
  const { labels } = session.maps.slice(session.items, session.z);
  const label = labels[Math.floor(y) * width + Math.floor(x)];
  if (label) return label;
  const area = ({ box }: Item): number => (box[2] - box[0]) * (box[3] - box[1]);
  const around = session.items
    .filter((item) => showsBox(item, session.z))
    .filter(({ box }) => box[0] <= x && x < box[2] + 1 && box[1] <= y && y < box[3] + 1)
    .sort((a, b) => area(a) - area(b));
  return around[0]?.label ?? null;
}

function cursorOf(hit: Hit): string {
  if (hit.kind === "edge") return "move";
  const { columns, rows } = hit.handle;
  if (!columns.length) return "ns-resize";
  if (!rows.length) return "ew-resize";
  return (columns[0] === 0) === (rows[0] === 1) ? "nwse-resize" : "nesw-resize";
}

/** Two fingers: their distance zooms, their middle pans. */
function pinch(stage: Stage, pointers: ReadonlyMap<number, Point>, id: number, at: Point): void {
  const before = pointers.get(id)!;
  const [, other] = [...pointers].find(([key]) => key !== id)!;
  const distance = (point: Point): number => Math.hypot(point.x - other.x, point.y - other.y);
  stage.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
  const middle = { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 };
  stage.zoom(clamp(distance(at) / Math.max(distance(before), 1), 0.5, 2), middle);
}
