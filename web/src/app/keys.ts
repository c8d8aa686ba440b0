/** Keys, which do all that the mouse does but paint. */

import { Box } from "../core/geometry";
import { Item, moved } from "./items";
import { addBox, shifted } from "./pointer";
import { Session, Tool } from "./session";
import { Stage } from "./stage";

export interface Commands {
  readonly session: Session | null; // null where keys are for others
  use(tool: Tool): void;
  remove(label: number): void;
  widen(by: number): void; // brush and eraser
  help(): void;
}

const TOOLS: Readonly<Record<string, Tool>> = { b: "box", p: "brush", e: "eraser", w: "shades", h: "pan" };
const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const STEPS = 200; // of an arrow key, from one end of the image to the other

export function listenToKeys(stage: Stage, commands: Commands): void {
  addEventListener("keydown", (event) => {
    const { session } = commands;
    const target = event.target as HTMLElement;
    if (!session || event.altKey || target.matches("input:not([type=range]), select")) return;
    const does = event.ctrlKey || event.metaKey ? goThroughHistory(session, event) : act(session, event, target);
    if (does) event.preventDefault();
  });

  /** What a key does; whether it did something. */
  function act(session: Session, { key, shiftKey }: KeyboardEvent, target: HTMLElement): boolean {
    const arrow = target.matches("input") ? undefined : ARROWS[key];
    const middle = { x: stage.canvas.clientWidth / 2, y: stage.canvas.clientHeight / 2 };
    const { selected } = session;
    if (TOOLS[key]) commands.use(TOOLS[key]);
    else if ((key === "Delete" || key === "Backspace") && selected) commands.remove(selected.label);
    else if (key === "Escape") session.select(null);
    else if (key === "n") addMiddle(session);
    else if (key === "PageUp" || key === "PageDown") session.show(session.z + (key === "PageUp" ? -1 : 1));
    else if (arrow && selected) nudge(session, selected, arrow, shiftKey);
    else if (arrow && session.isVolume) session.show(session.z + arrow[0] + arrow[1]);
    else if (key === "[" || key === "]") commands.widen(key === "]" ? 2 : -2);
    else if (key === "0") stage.fit();
    else if (key === "+" || key === "=") stage.zoom(1.25, middle);
    else if (key === "-") stage.zoom(0.8, middle);
    else if (key === "?") commands.help();
    else return false;
    return true;
  }
}

function goThroughHistory(session: Session, event: KeyboardEvent): boolean {
  const key = event.key.toLowerCase();
  if (key === "y" || (key === "z" && event.shiftKey)) session.redo();
  else if (key === "z") session.undo();
  else return false;
  return true;
}

/** A box in the middle third of the image. */
function addMiddle(session: Session): void {
  const { width, height } = session.image;
  addBox(session, [width / 3, height / 3, (2 * width) / 3, (2 * height) / 3]);
}

/** Move a box a step, or its last corner. */
function nudge(session: Session, item: Item, [x, y]: readonly [number, number], resizes: boolean): void {
  const step = Math.max(1, Math.round(Math.max(session.image.width, session.image.height) / STEPS));
  const [left, top, right, bottom] = item.box;
  const box: Box = resizes
    ? [left, top, Math.max(left, right + x * step), Math.max(top, bottom + y * step)]
    : shifted(session, item.box, { x: x * step, y: y * step });
  session.commit({ items: session.replaced(moved(item, session.fitted(box))) });
}
