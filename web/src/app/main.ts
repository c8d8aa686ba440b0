/** The page: opens images, has boxes answered, keeps stage and panel up to date. */

import { Box } from "../core/geometry";
import { Image } from "../io/image";
import { Layer } from "../workers/layer";
import { Answer } from "../workers/model";
import { connect } from "../workers/rpc";
import { one, make } from "./dom";
import { Item } from "./items";
import { listenToKeys } from "./keys";
import { ANOTHER_IMAGE, Models } from "./models";
import { Panel } from "./panel";
import { addBox, listen } from "./pointer";
import { Format, save } from "./save";
import { Session, Tool } from "./session";
import { Stage } from "./stage";

declare const DOWNLOAD_BYTES: number; // of the models and their runtime
declare const PHANTOMS: readonly { readonly file: string; readonly title: string }[];

const SETTLE_MS = 200; // after the last change of slice or window, the slice is encoded

let session: Session | null = null;
let opened = 0;
let files: readonly File[] = [];
let tool: Tool = "box";
let isFollowing = false;
let settling = 0;
const asked = new Set<string>(); // objects whose boxes are in work
const brushSize = one<HTMLInputElement>("#brush-size input");

const stage = new Stage(one<HTMLCanvasElement>("#stage"));
const panel = new Panel({
  select: (label) => session?.select(label),
  remove,
  rename(label, name) {
    const item = session?.items.find((other) => other.label === label);
    if (session && item && item.name !== name) session.commit({ items: session.replaced({ ...item, name }) });
  },
  shade: (shades) => session?.shade(shades),
});
const models = new Models(() => session);
const reader = connect(new Worker(new URL("files.js", import.meta.url), { type: "module" }), {});

// --- what goes on, and what went wrong ---

const works = new Map<string, { readonly text: string; readonly share: number | null }>();

/** Say that something is going on; a share of null is one that is not known, undefined is the end. */
function busy(work: string, text?: string, share: number | null = null): void {
  if (text === undefined) works.delete(work);
  else works.set(work, { text, share });
  const last = [...works.values()].at(-1);
  one("#busy").hidden = !last;
  if (!last) return;
  one("#busy span").textContent = last.text;
  const bar = one<HTMLProgressElement>("#busy progress");
  if (last.share === null) bar.removeAttribute("value");
  else bar.value = last.share;
}

function problem(error: unknown): void {
  one("#problem").hidden = false;
  one("#problem p").textContent = error instanceof Error ? error.message : String(error);
}

one("#problem button").onclick = () => (one("#problem").hidden = true);

// --- the models ---

const ready = models
  .load((bytes) => busy("load", "Loading the models", Math.min(bytes / DOWNLOAD_BYTES, 1)))
  .catch((error) => {
    problem(`The models cannot be loaded: ${error instanceof Error ? error.message : error}`);
    throw error;
  })
  .finally(() => {
    busy("load");
    document.documentElement.dataset.models = "ready";
  });
busy("load", "Loading the models", 0);

// --- opening ---

async function open(chosen: readonly File[], choice = 0): Promise<void> {
  if (!chosen.length) return;
  busy("open", `Reading ${chosen.length > 1 ? `${chosen.length} files` : chosen[0].name}`);
  try {
    const image = await reader<Image>("open", { files: chosen, choice });
    files = chosen;
    show(image);
  } catch (error) {
    problem(error);
  } finally {
    busy("open");
  }
}

function show(image: Image): void {
  if (isFollowing) void models.stop();
  one("#problem").hidden = true;
  session = new Session(image, ++opened, changed);
  one("#start").hidden = true;
  one("#tools").hidden = false;
  one("#slices").hidden = !session.isVolume;
  one("#hint").hidden = false;
  const sides = [...(session.isVolume ? [image.depth] : []), image.height, image.width].reverse().join(" × ");
  one("#file").textContent = one("#file").title = `${image.name} · ${sides}${image.modality ? ` · ${image.modality}` : ""}`;
  document.title = `${image.name} · QMedSAM`;
  const series = one<HTMLSelectElement>("#series");
  series.hidden = image.choices.length < 2;
  series.replaceChildren(...image.choices.map((text, i) => make("option", { text, value: String(i) })));
  series.value = String(image.choice);
  stage.open(session);
  panel.open(session);
  for (const { box, name } of image.boxes) addGiven(session, box, name);
  session.history.forget();
  changed();
  stage.canvas.focus();
}

/** A box that came with the image. */
function addGiven(session: Session, box: readonly number[], name = ""): void {
  const isFlat = box.length === 4;
  const flat: Box = isFlat ? [box[0], box[1], box[2], box[3]] : [box[0], box[1], box[3], box[4]];
  const [first, last] = isFlat ? [0, 0] : [box[2], box[5]].map(Math.round);
  session.z = (first + last) >> 1;
  addBox(session, flat);
  const item = session.items.at(-1)!;
  session.history.amend({ items: session.replaced({ ...item, name, first, last }), selected: null });
}

one("#series").onchange = () => void open(files, Number(one<HTMLSelectElement>("#series").value));

const pick = one<HTMLInputElement>("#pick");
const pickFolder = one<HTMLInputElement>("#pick-folder");
for (const input of [pick, pickFolder]) {
  input.onchange = () => {
    void open([...(input.files ?? [])]);
    input.value = "";
  };
}
for (const id of ["#open", "#browse"]) one(id).onclick = () => pick.click();
one("#open-folder").onclick = () => pickFolder.click();

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const plain = [...(event.dataTransfer?.files ?? [])];
  const folders = [...(event.dataTransfer?.items ?? [])]
    .flatMap((item) => item.webkitGetAsEntry() ?? [])
    .filter((entry) => entry.isDirectory);
  if (!folders.length) void open(plain);
  else void Promise.all(folders.map(filesOf)).then((found) => open(found.flat()), problem);
});
addEventListener("paste", (event) => void open([...(event.clipboardData?.files ?? [])]));

/** The files of what was dropped, a folder's and those of the folders in it. */
async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))];
  const folder = (entry as FileSystemDirectoryEntry).createReader();
  const found: File[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => folder.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...(await Promise.all(some.map(filesOf))).flat());
  }
}

one("#phantoms").append(
  ...PHANTOMS.map(({ file, title }) => {
    const picture = make("img", { src: `phantoms/${file}.webp`, alt: "", width: 124, height: 96 });
    return make("li", {}, make("button", { onclick: () => void openPhantom(file, title) }, picture, make("span", { textContent: title })));
  }),
);

async function openPhantom(file: string, title: string): Promise<void> {
  try {
    const response = await fetch(`phantoms/${file}.npz`);
    if (!response.ok) throw new Error(`the phantom could not be downloaded (${response.status})`);
    const image = await reader<Image>("open", { files: [new File([await response.blob()], title)], choice: 0 });
    show({ ...image, boxes: [] });
  } catch (error) {
    problem(error);
  }
}

// --- answering boxes ---

function changed(): void {
  if (!session) return;
  stage.redraw();
  panel.update(session, (item) => !item.layers);
  if (session.items.length) one("#hint").hidden = true;
  one<HTMLButtonElement>("#undo").disabled = !session.history.canUndo;
  one<HTMLButtonElement>("#redo").disabled = !session.history.canRedo;
  const slider = one<HTMLInputElement>("#slices input");
  slider.max = String(session.image.depth - 1);
  slider.value = String(session.z);
  slider.setAttribute("aria-valuetext", `${session.z + 1} of ${session.image.depth}`);
  one("#slices output").textContent = `${session.z + 1} / ${session.image.depth}`;
  for (const item of session.items) if (!item.layers) void segment(session, item);
  clearTimeout(settling);
  settling = window.setTimeout(() => void encode(session!), SETTLE_MS);
}

let encodedKey = "";

/** Encode the slice that is shown, so that boxes on it are answered at once. */
async function encode(now: Session): Promise<void> {
  const key = now.key(now.z);
  if (key === encodedKey || isFollowing) return;
  encodedKey = key;
  await attempt("encode", "Encoding the image", async () => {
    await ready;
    await models.encode(key);
    if (now === session) document.documentElement.dataset.encoded = key;
  });
}

/** Have an object's box answered; where it has moved on meanwhile, the new one is next. */
async function segment(now: Session, item: Item): Promise<void> {
  const place = `${now.number}/${item.label}`;
  if (asked.has(place)) return;
  asked.add(place);
  const answer = await attempt("segment", "Segmenting", async () => {
    await ready;
    return models.segment(now.key(item.z), item.box, (first) => preview(now, item, first));
  });
  asked.delete(place);
  const current = now.items.find(({ label }) => label === item.label);
  if (now !== session || !current || current.layers) return;
  if (!answer) now.amend({ items: now.replaced({ ...current, layers: new Map() }) });
  else if (current.box.join() === item.box.join() && current.z === item.z) accept(now, current, answer);
  else void segment(now, current);
}

function accept(now: Session, item: Item, { layer, score }: Answer): void {
  now.amend({ items: now.replaced({ ...item, layers: new Map(layer ? [[item.z, layer]] : []), score }) });
}

/** What the whole image shows of a small object, until the window that magnifies it is encoded. */
function preview(now: Session, item: Item, { layer }: Answer): void {
  if (now === session && layer) stage.preview(item, layer);
}

/** Do it, say so meanwhile, and say what went wrong. */
async function attempt<T>(work: string, text: string, task: () => Promise<T>): Promise<T | undefined> {
  busy(work, text);
  try {
    return await task();
  } catch (error) {
    if (!String(error).includes(ANOTHER_IMAGE)) problem(error);
    return undefined;
  } finally {
    busy(work);
  }
}

// --- through the volume ---

one("#follow").onclick = () => void follow();
one("#stop").onclick = () => void models.stop();

async function follow(): Promise<void> {
  const now = session;
  if (!now || isFollowing) return;
  const items = now.selected ? [now.selected] : now.items;
  const layers = items.map(() => new Map<number, Layer>());
  const followed = (i: number): Partial<Item> => ({ layers: new Map(layers[i]), isFollowed: true, isCorrected: false });
  /** Change those of the items that are still as they were, whatever else was done meanwhile. */
  const put = (change: (i: number) => Partial<Item>): void => {
    if (now !== session) return;
    const indexOf = (item: Item): number =>
      items.findIndex(({ label, box }) => label === item.label && box.join() === item.box.join());
    now.amend({ items: now.items.map((item) => (indexOf(item) < 0 ? item : { ...item, ...change(indexOf(item)) })) });
  };
  isFollowing = true;
  one("#follow").hidden = true;
  one("#stop").hidden = false;
  const done = await attempt("follow", "Through the volume", async () => {
    await ready;
    now.commit({});
    const { depth, height, width } = now.image;
    const objects = items.map(({ box, first, last }) => ({ box, first, last }));
    const request = { size: { depth, height, width }, objects, find: true, key: now.keyOfShades };
    return models.follow(request, (value) => {
      if (typeof value !== "number") {
        layers[value.object].set(value.z, value.layer);
        return;
      }
      busy("follow", `Through the volume: ${Math.round(100 * value)} %`, value);
      put(followed);
    });
  });
  const before = (i: number): Partial<Item> => {
    const { layers, isFollowed, isCorrected } = items[i];
    return { layers, isFollowed, isCorrected };
  };
  put(done && !done.stopped ? followed : before);
  isFollowing = false;
  one("#follow").hidden = false;
  one("#stop").hidden = true;
  changed();
}

for (const radio of document.querySelectorAll<HTMLInputElement>('input[name="extent"]')) {
  radio.onchange = () => {
    const item = session?.selected;
    if (!session || !item) return;
    if (radio.value === "find") reach(item, item.z, item.z);
    else reach(item, Math.max(0, item.z - 2), Math.min(session.image.depth - 1, item.z + 2));
  };
}
for (const id of ["#first", "#last"]) {
  one<HTMLInputElement>(id).onchange = () => {
    const item = session?.selected;
    if (!session || !item) return;
    const [first, last] = ["#first", "#last"].map((end) => Math.round(Number(one<HTMLInputElement>(end).value)) - 1);
    const inside = (z: number): number => Math.min(Math.max(z, 0), session!.image.depth - 1);
    if (Number.isFinite(first) && Number.isFinite(last)) reach(item, Math.min(item.z, inside(first)), Math.max(item.z, inside(last)));
  };
}

/** Say from which slice to which an object reaches. */
function reach(item: Item, first: number, last: number): void {
  session?.commit({ items: session.replaced({ ...item, first, last }) });
}

// --- tools and keys ---

function use(next: Tool): void {
  tool = next;
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  }
  const isBrush = tool === "brush" || tool === "eraser";
  one("#brush-size").hidden = !isBrush;
  if (isBrush && session && !session.selected && session.items.length) session.select(session.items.at(-1)!.label);
  stage.canvas.style.cursor = "";
}

for (const button of document.querySelectorAll<HTMLButtonElement>("[data-tool]")) {
  button.onclick = () => use(button.dataset.tool as Tool);
}
one("#fit").onclick = () => stage.fit();
one("#undo").onclick = () => session?.undo();
one("#redo").onclick = () => session?.redo();
one("#slices input").oninput = () => session?.show(Number(one<HTMLInputElement>("#slices input").value));
for (const id of ["#level", "#width"]) {
  one(id).onchange = () => {
    const [level, width] = ["#level", "#width"].map((name) => Number(one<HTMLInputElement>(name).value));
    if (Number.isFinite(level) && width > 0) session?.shade({ level, width });
  };
}
const help = one<HTMLDialogElement>("#help");
one("#show-help").onclick = () => help.showModal();

listen(stage, {
  get session() {
    return session;
  },
  get tool() {
    return tool;
  },
  get brushRadius() {
    return Number(brushSize.value);
  },
});

function remove(label: number): void {
  if (!session) return;
  const { selected } = session.history.now;
  session.commit({ items: session.items.filter((item) => item.label !== label), selected: selected === label ? null : selected });
}

listenToKeys(stage, {
  get session() {
    return help.open ? null : session;
  },
  use,
  remove,
  widen(by) {
    brushSize.value = String(Number(brushSize.value) + by);
  },
  help: () => help.showModal(),
});

// --- saving ---

for (const button of document.querySelectorAll<HTMLButtonElement>("[data-format]")) {
  button.onclick = () => {
    if (!session) return;
    const { name, bytes } = save(session, button.dataset.format as Format);
    const link = make("a", { href: URL.createObjectURL(new Blob([bytes as BlobPart])), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
}

// --- without a network ---

/** Keep the page for later. Once it has loaded, the browser has its files already, and asks only whether they are the latest. */
async function keep(): Promise<void> {
  try {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
    document.documentElement.dataset.offline = "ready";
  } catch {
    // In a private window, or without https: the page works as long as its server does.
  }
}

void ready.then(keep, () => undefined);
