/** What people do with the page, done in Chromium. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { decode } from "fast-png";
import { Browser, BrowserContextOptions } from "playwright-core";

import {
  PYTHON,
  ROOT,
  Server,
  Visit,
  answered,
  download,
  drag,
  drawBox,
  launch,
  openFile,
  openPhantom,
  placer,
  serve,
  sizes,
  violations,
  visit,
} from "./browser";
import { arraysOf, fixture } from "./fixtures";
import { dice } from "./parity";

// Boxes around the phantoms' organs, as people draw them, and a region that no organ reaches.
const LIVER = [70, 140, 270, 315];
const SPLEEN = [340, 180, 425, 318];
const KIDNEY = [140, 290, 212, 382];
const LIVER_IN_VOLUME = [24, 46, 100, 122];

let browser: Browser;
let server: Server;

before(async () => {
  [browser, server] = await Promise.all([launch(), serve("-m", "inference", "page", "web/dist", "--port", "0")]);
});
after(async () => {
  await browser.close();
  await server.stop();
});

/** A test in a window of its own, in which nothing may go wrong and nothing may be asked of anyone else. */
function inBrowser(name: string, act: (visit: Visit) => Promise<void>, options: BrowserContextOptions = {}): void {
  test(name, async () => {
    const opened = await visit(browser, server.url, options);
    try {
      await act(opened);
      assert.deepEqual(opened.requests.filter((url) => !url.startsWith(server.url) && !url.startsWith("blob:")), []);
      assert.deepEqual(opened.complaints, []);
    } finally {
      await opened.context.close();
    }
  });
}

inBrowser("a box is answered by a mask, on threads of the page's own", async ({ page, requests }) => {
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  await openPhantom(page, "CT slice");
  await drawBox(page, LIVER);
  await drawBox(page, KIDNEY);
  const [liver, kidney] = await sizes(page);
  assert.ok(liver > 20000 && liver < 26000, `liver ${liver}`);
  assert.ok(kidney > 3000 && kidney < 5000, `kidney ${kidney}`);
  assert.ok(requests.some((url) => url.endsWith("encoder.onnx.gz")));
});

inBrowser("boxes are moved, resized, deleted, and all of it undone", async ({ page }) => {
  await openPhantom(page, "CT slice");
  await drawBox(page, LIVER);
  const [liver] = await sizes(page);
  await drag(page, [LIVER[0], 200], [LIVER[0] + 240, 200]); // by its border, to where the spleen is
  await answered(page);
  const [shifted] = await sizes(page);
  assert.notEqual(shifted, liver);
  await page.keyboard.press("Control+z");
  assert.deepEqual(await sizes(page), [liver]);
  await drag(page, [LIVER[2] + 1, LIVER[3] + 1], [LIVER[2] - 90, LIVER[3] - 90]); // by its corner
  await answered(page);
  assert.notDeepEqual(await sizes(page), [liver]);
  await page.keyboard.press("Control+z");
  await page.keyboard.press("Delete");
  assert.deepEqual(await sizes(page), []);
  await page.keyboard.press("Control+z");
  assert.deepEqual(await sizes(page), [liver]);
  await page.keyboard.press("Control+Shift+z");
  assert.deepEqual(await sizes(page), []);
});

inBrowser("masks are corrected with brush and eraser", async ({ page }) => {
  await openPhantom(page, "CT slice");
  await drawBox(page, LIVER);
  const [liver] = await sizes(page);
  await page.getByRole("button", { name: "Brush" }).click();
  await drag(page, [20, 30], [120, 30]);
  const [more] = await sizes(page);
  assert.ok(more > liver + 1000, `${liver} to ${more}`);
  await page.getByRole("button", { name: "Eraser" }).click();
  await drag(page, [20, 30], [120, 30]);
  assert.deepEqual(await sizes(page), [liver]);
  assert.match(await page.locator(".figures").innerText(), /corrected by hand/);
  await page.keyboard.press("Control+z");
  assert.deepEqual(await sizes(page), [more]);
});

inBrowser("what is saved is what the runtime reads, and what it finds", async ({ page }) => {
  const folder = await mkdtemp(join(tmpdir(), "saved-"));
  await openFile(page, fixture("files", "deep.png"));
  await drawBox(page, [74, 79, 207, 346]);
  await drawBox(page, [237, 86, 375, 335]);
  const saved = [await download(page, "PNG", folder), await download(page, "Boxes", folder), await download(page, "Case", folder)];
  await openFile(page, fixture("files", "turned2.nii.gz"));
  await page.getByLabel("Slice", { exact: true }).fill("4");
  const [width, height] = /(\d+) × (\d+)/.exec(await page.locator("#file").innerText())!.slice(1).map(Number);
  await drawBox(page, [width / 8, height / 8, (7 * width) / 8, (7 * height) / 8].map(Math.round));
  await page.getByLabel("Name of object 1").fill("L-shaped");
  await page.getByLabel("Name of object 1").press("Enter");
  await page.getByRole("button", { name: "Follow object 1" }).click();
  await page.waitForSelector("#follow:not([hidden])");
  for (const button of ["NIfTI", "NRRD", "Boxes", "Case"]) saved.push(await download(page, button, folder));
  const { stdout } = await promisify(execFile)(PYTHON, ["-m", "web.tests.check_saved", ...saved, "--images", fixture("files")], { cwd: ROOT });
  assert.match(stdout, /all as the runtime has it/);
});

test("it works offline once it was open", async () => {
  const own = await serve("-m", "inference", "page", "web/dist", "--port", "0");
  const { page, context, complaints } = await visit(browser, own.url);
  try {
    await page.waitForSelector("html[data-offline=ready]");
    await own.stop();
    await page.reload();
    await page.waitForSelector("html[data-models=ready]");
    assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    await openFile(page, fixture("files", "turned0.nii.gz"));
    await drawBox(page, [4, 3, 31, 27]);
    const [onSlice] = await sizes(page);
    await page.getByRole("button", { name: "Follow object 1" }).click(); // with the model that only volumes need
    await page.waitForFunction(() => /slices \d+ to \d+/.test(document.querySelector(".figures")?.textContent ?? ""));
    await page.waitForSelector("#follow:not([hidden])");
    const [followed] = await sizes(page);
    assert.ok(followed > onSlice && onSlice > 0, `${followed} voxels, ${onSlice} of them on its slice`);
    for (const name of ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"]) { // with the codecs
      await openFile(page, fixture("files", name));
      await page.waitForFunction((title) => document.querySelector("#file")?.textContent === title, `${name} · 64 × 64 · MR`);
    }
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
});

inBrowser("an object is followed through a volume, or not to its end", async ({ page }) => {
  await openPhantom(page, "CT volume");
  const slice = page.locator("#slices output");
  assert.equal(await slice.innerText(), "15 / 28");
  const at = await placer(page);
  await page.mouse.move(at(90, 80).x, at(90, 80).y);
  await page.mouse.wheel(0, 120);
  await page.waitForFunction(() => document.querySelector("#slices output")?.textContent === "16 / 28");
  await page.keyboard.press("PageUp");
  await page.keyboard.press("PageUp");
  assert.equal(await slice.innerText(), "14 / 28");
  await drawBox(page, LIVER_IN_VOLUME);
  const [onSlice] = await sizes(page);

  await page.getByRole("button", { name: "Follow object 1" }).click();
  await page.waitForFunction(() => document.querySelector("#busy")?.textContent?.includes("%"));
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.waitForSelector("#follow:not([hidden])");
  assert.deepEqual(await sizes(page), [onSlice]);

  await page.getByLabel("First slice").fill("12");
  await page.getByLabel("Last slice").fill("16");
  await page.getByLabel("Last slice").press("Enter");
  await page.getByRole("button", { name: "Follow object 1" }).click();
  await page.waitForSelector("#follow:not([hidden])");
  assert.match(await page.locator(".figures").innerText(), /ml · .*\n.*\nslices 12 to 16$/);
  assert.ok((await sizes(page))[0] > 4 * onSlice);
});

inBrowser("a DICOM series opens from its folder; CT has presets, and a window that is dragged", async ({ page }) => {
  await page.setInputFiles("#pick-folder", fixture("files", "series"));
  await page.waitForSelector("#tools:not([hidden])");
  assert.match(await page.locator("#file").innerText(), /^series · 40 × 32 × 9 · CT$/);
  assert.match(await page.locator("#notes").innerText(), /axial slices, 4 mm apart/);
  const level = page.getByRole("spinbutton", { name: "Level" });
  assert.equal(await level.inputValue(), "40");
  await page.getByRole("button", { name: "Lung" }).click();
  assert.equal(await level.inputValue(), "-160");
  await drag(page, [10, 10], [30, 20], "right");
  assert.notEqual(await level.inputValue(), "-160");
  await page.getByRole("button", { name: "Soft tissue" }).click();
  await drawBox(page, [4, 3, 31, 27]);
  assert.match(await page.locator(".figures").innerText(), / HU \(-?\d+ to 150\)/);
});

inBrowser("what is broken is told in one line, and the page goes on", async ({ page }) => {
  await openFile(page, fixture("broken", "turned0.nii.gz"));
  assert.match(await page.getByRole("alert").innerText(), /^turned0\.nii\.gz: damaged/);
  await page.getByRole("button", { name: "Close", exact: true }).click();
  await openFile(page, fixture("broken", "note.txt"));
  assert.match(await page.getByRole("alert").innerText(), /note\.txt: .*does not read/);
  await openPhantom(page, "Skin lesion");
  assert.equal(await page.getByRole("alert").isVisible(), false);
  await drawBox(page, [140, 85, 390, 300]);
  assert.ok((await sizes(page))[0] > 20000);
});

inBrowser("a photograph of 12 megapixels", async ({ page }) => {
  await openFile(page, fixture("photos", "photo.jpg"));
  assert.match(await page.locator("#file").innerText(), /4000 × 3000/);
  await drawBox(page, [800, 500, 3200, 2500]);
  assert.ok((await sizes(page))[0] > 500_000);
});

inBrowser("an image that is dropped or pasted is opened", async ({ page }) => {
  for (const [event, name] of [["drop", "small.webp"], ["paste", "small.webp"]] as const) {
    const data = [...(await readFile(fixture("photos", name)))];
    await page.evaluate(
      ([kind, bytes]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes as number[])], `${kind}.webp`));
        const options = { bubbles: true, cancelable: true };
        const made =
          kind === "drop"
            ? new DragEvent("drop", { ...options, dataTransfer: transfer })
            : new ClipboardEvent("paste", { ...options, clipboardData: transfer });
        document.body.dispatchEvent(made);
      },
      [event, data] as const,
    );
    await page.waitForFunction((kind) => document.querySelector("#file")?.textContent?.startsWith(`${kind}.webp`), event);
  }
});

inBrowser(
  "on a telephone, by touch",
  async ({ page, context }) => {
    await openPhantom(page, "CT slice");
    const at = await placer(page);
    const touch = await context.newCDPSession(page);
    const send = (type: string, ...points: { x: number; y: number }[]) =>
      touch.send("Input.dispatchTouchEvent", { type: type as "touchStart", touchPoints: points });
    await send("touchStart", at(LIVER[0], LIVER[1]));
    await send("touchMove", at(200, 250));
    await send("touchMove", at(LIVER[2], LIVER[3]));
    await send("touchEnd");
    await page.locator("#objects li").waitFor();
    await answered(page);
    assert.ok((await sizes(page))[0] > 20000);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${overflow} pixels wider than the screen`);
    for (const tool of await page.locator("#tools button").all()) {
      const box = (await tool.boundingBox())!;
      assert.ok(box.x >= 0 && box.x + box.width <= 390, "a tool outside the screen");
    }
    assert.deepEqual(await violations(page), []);
  },
  { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 },
);

inBrowser(
  "by pen, with the palm on the screen",
  async ({ page, context }) => {
    await openPhantom(page, "CT slice");
    const at = await placer(page);
    const hand = await context.newCDPSession(page);
    const pen = (type: "mousePressed" | "mouseMoved" | "mouseReleased", [x, y]: readonly number[]) =>
      hand.send("Input.dispatchMouseEvent", { type, ...at(x, y), button: "left", buttons: type === "mouseReleased" ? 0 : 1, clickCount: 1, force: 0.5, pointerType: "pen" });
    const palm = (type: "touchStart" | "touchMove" | "touchEnd", ...places: readonly number[][]) =>
      hand.send("Input.dispatchTouchEvent", { type, touchPoints: places.map(([x, y]) => at(x, y)) });
    const stroke = async (from: readonly number[], to: readonly number[]): Promise<void> => {
      await pen("mousePressed", from);
      await palm("touchStart", [300, 380]);
      await pen("mouseMoved", [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2]);
      await palm("touchMove", [310, 390]);
      await pen("mouseMoved", to);
      await pen("mouseReleased", to);
      await palm("touchEnd");
    };
    await page.evaluate(() => {
      const kinds = new Set<string>();
      document.querySelector("#stage")!.addEventListener("pointerdown", (event) => kinds.add((event as PointerEvent).pointerType));
      Object.assign(window, { kinds });
    });
    await stroke(LIVER.slice(0, 2), LIVER.slice(2));
    await page.locator("#objects li").waitFor();
    await answered(page);
    const [liver] = await sizes(page);
    assert.ok(liver > 20000 && liver < 26000, `liver ${liver}`);
    await page.getByRole("button", { name: "Eraser" }).click();
    await stroke([100, 220], [220, 220]);
    const [less] = await sizes(page);
    assert.ok(less < liver - 1000, `${liver} to ${less}`);
    await page.getByRole("button", { name: "Brush" }).click();
    await palm("touchStart", [300, 380]); // before the pen
    await pen("mousePressed", [20, 30]);
    await pen("mouseMoved", [120, 30]);
    await palm("touchEnd");
    await pen("mouseReleased", [120, 30]);
    assert.ok((await sizes(page))[0] > less + 1000);
    assert.deepEqual(await page.evaluate(() => [...(window as unknown as { kinds: Set<string> }).kinds].sort()), ["pen", "touch"]);
  },
  { hasTouch: true },
);

inBrowser("all of it by keys", async ({ page }) => {
  await page.getByRole("button", { name: "CT slice" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("html[data-encoded]");
  await page.keyboard.press("n");
  await answered(page);
  for (let i = 0; i < 40; i++) await page.keyboard.press("ArrowRight");
  for (let i = 0; i < 30; i++) await page.keyboard.press("Shift+ArrowUp");
  await answered(page);
  assert.equal((await sizes(page)).length, 1);
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  assert.ok(await page.getByRole("dialog").isVisible());
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+z");
  await page.getByLabel("Delete object 1").focus();
  await page.keyboard.press("Enter");
  assert.equal((await sizes(page)).length, 0);
});

for (const colorScheme of ["light", "dark"] as const) {
  inBrowser(
    `axe has nothing to complain of, ${colorScheme}`,
    async ({ page }) => {
      assert.deepEqual(await violations(page), []);
      await openPhantom(page, "CT volume");
      await drawBox(page, LIVER_IN_VOLUME);
      await page.getByRole("button", { name: "Brush" }).click();
      assert.deepEqual(await violations(page), []);
      await page.getByRole("button", { name: "Help" }).click();
      assert.deepEqual(await violations(page), []);
    },
    { colorScheme },
  );
}

test("another program on the port of the page is left alone", async () => {
  const own = await serve("-m", "inference", "page", "web/dist", "--port", "0");
  const { page, context } = await visit(browser, own.url);
  try {
    await page.waitForSelector("html[data-offline=ready]");
    await own.stop();
    const other = await serve("-u", "-m", "http.server", new URL(own.url).port, "--bind", "127.0.0.1", "--directory", "docs");
    await page.goto(`${other.url}web.md`);
    assert.match((await (await page.goto(other.url))!.text()), /Directory listing/);
    assert.deepEqual(await page.evaluate(() => navigator.serviceWorker.getRegistrations().then((all) => all.length)), 0);
    await other.stop();
  } finally {
    await context.close();
  }
});

test("any server will do: without its headers on one thread, and from then on with the page's own", async () => {
  const plain = await serve("-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", "web/dist");
  const { page, context, complaints } = await visit(browser, plain.url);
  try {
    await openPhantom(page, "CT slice");
    await drawBox(page, SPLEEN);
    assert.ok((await sizes(page))[0] > 5000);
    await page.waitForSelector("html[data-offline=ready]");
    await page.reload();
    await page.waitForSelector("html[data-models=ready]");
    assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    const blocked = await page.evaluate(() => fetch("http://127.0.0.1:9/").then(() => false, () => true));
    assert.ok(blocked);
    assert.ok(complaints.some((line) => line.includes("Content Security Policy")));
  } finally {
    await context.close();
    await plain.stop();
  }
});

inBrowser("a case that brings its boxes has the runtime's mask", async ({ page }) => {
  const folder = await mkdtemp(join(tmpdir(), "saved-"));
  await openFile(page, fixture("cases", "2DBox_US_phantom.npz")); // with its boxes
  await answered(page);
  const mask = decode(await readFile(await download(page, "PNG", folder))).data;
  const expected = await arraysOf(fixture("masks", "2DBox_US_phantom.npz"));
  const agreement = dice(mask, expected.get("segs")!.data, 1);
  assert.ok(agreement > 0.98, `Dice ${agreement}`);
});
