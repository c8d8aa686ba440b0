/**
 * What the page looks like, and how much and how long it takes to the first mask: prints figures, and writes the
 * pictures of docs/web.md to a folder that is named.
 */

import { writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";

import { Browser, Page } from "playwright-core";

import { answered, drawBox, launch, openPhantom, serve, visit } from "./browser";

const LIVER = [70, 140, 270, 315];
const NAMED = { liver: LIVER, spleen: [340, 180, 425, 318], "right kidney": [140, 290, 212, 382], "left kidney": [300, 290, 370, 382], aorta: [246, 271, 285, 310] };
const IN_VOLUME = { liver: [24, 46, 100, 122], spleen: [131, 72, 164, 122] };
const REPEATS = 5;

const server = await serve("-m", "inference", "page", "web/dist", "--port", "0");
const browser = await launch();
try {
  await measure(browser);
  const [folder] = process.argv.slice(2);
  if (folder) await picture(browser, folder);
} finally {
  await browser.close();
  await server.stop();
}

/** From an empty browser to the first mask, and from a box to its mask from then on. */
async function measure(browser: Browser): Promise<void> {
  console.log(`${cpus().length} cores, load ${loadavg()[0].toFixed(1)} before`);
  const start = performance.now();
  const { page, context, bytes } = await counted(browser);
  const loaded = performance.now();
  await openPhantom(page, "CT slice");
  const encoded = performance.now();
  await drawBox(page, LIVER);
  const seconds = (to: number): string => ((to - start) / 1000).toFixed(1);
  const megabytes = (bytes() / 1e6).toFixed(1);
  console.log(`${megabytes} MB and ${seconds(performance.now())} s to the first mask: models loaded after ${seconds(loaded)} s, image encoded after ${seconds(encoded)} s`);
  for (const [what, box] of [["large", LIVER], ["small", NAMED.aorta]] as const) {
    const times: number[] = [];
    for (let i = 0; i < REPEATS; i++) {
      await page.keyboard.press("Delete");
      const drawn = performance.now();
      await drawBox(page, box.map((side) => side + i));
      times.push(performance.now() - drawn);
    }
    console.log(`from the first touch of a ${what} box to its mask, median of ${REPEATS}: ${times.sort((a, b) => a - b)[REPEATS >> 1].toFixed(0)} ms`);
  }
  await page.waitForSelector("html[data-offline=ready]");
  console.log(`${(bytes() / 1e6).toFixed(1)} MB until it works offline`);
  await context.close();
}

/** Files that are asked for again, and have not changed, come from the browser, which says the same of them. */
async function counted(browser: Browser) {
  const sizes = new Map<string, number>();
  const opened = await visit(browser, server.url, {}, (context) =>
    context.on("response", (response) => {
      if (response.status() === 200) sizes.set(response.url(), Number(response.headers()["content-length"]));
    }),
  );
  return { ...opened, bytes: () => [...sizes.values()].reduce((sum, size) => sum + size, 0) };
}

async function picture(browser: Browser, folder: string): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    const { page, context } = await visit(browser, server.url, { colorScheme });
    await shoot(page, folder, `web-start-${colorScheme}`);
    await openPhantom(page, "CT slice");
    await drawAll(page, NAMED);
    await page.keyboard.press("Escape");
    await shoot(page, folder, `web-slice-${colorScheme}`);
    await context.close();
  }
  const { page, context } = await visit(browser, server.url, { colorScheme: "dark" });
  await openPhantom(page, "CT volume");
  await drawAll(page, IN_VOLUME);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Follow all" }).click();
  await page.waitForSelector("#follow:not([hidden])");
  await page.keyboard.press("PageDown");
  await shoot(page, folder, "web-volume");
  await context.close();

  const phone = { viewport: { width: 390, height: 780 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2, colorScheme: "light" } as const;
  const small = await visit(browser, server.url, phone);
  await openPhantom(small.page, "Skin lesion");
  await drawAll(small.page, { lesion: [140, 85, 390, 300] });
  await shoot(small.page, folder, "web-telephone");
  await small.context.close();
}

async function drawAll(page: Page, boxes: Readonly<Record<string, readonly number[]>>): Promise<void> {
  for (const [i, [name, box]] of Object.entries(boxes).entries()) {
    await page.keyboard.press("Escape");
    await drawBox(page, box);
    await page.getByLabel(`Name of object ${i + 1}`).fill(name);
    await page.getByLabel(`Name of object ${i + 1}`).press("Enter");
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  }
  await answered(page);
}

/** A screenshot as WebP, which the browser itself can write. */
async function shoot(page: Page, folder: string, name: string): Promise<void> {
  await page.mouse.move(5, 5);
  await page.waitForSelector("#busy", { state: "hidden" });
  const png = (await page.screenshot()).toString("base64");
  const webp = await page.evaluate(async (data) => {
    const picture = new Image();
    picture.src = `data:image/png;base64,${data}`;
    await picture.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: picture.width, height: picture.height });
    canvas.getContext("2d")!.drawImage(picture, 0, 0);
    return canvas.toDataURL("image/webp", 0.85).split(",")[1];
  }, png);
  await writeFile(join(folder, `${name}.webp`), Buffer.from(webp, "base64"));
}
