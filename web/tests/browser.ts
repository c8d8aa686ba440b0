/** The page in a real browser: a server, Chromium, and the hands of a user. */

import { ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

import { Browser, BrowserContext, BrowserContextOptions, Page, chromium } from "playwright-core";

export const ROOT = new URL("../../../", import.meta.url).pathname;
export const PYTHON = process.env.PYTHON ?? "python3";
const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", // nobody else is to be found
];
const READY_MS = 180_000; // on a machine that does much else

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: CHROMIUM, args: QUIET });

export interface Server {
  readonly url: string;
  stop(): Promise<void>;
}

/** A program that says its address, `http://127.0.0.1:PORT/`, in its first line. */
export async function serve(...command: string[]): Promise<Server> {
  const server: ChildProcess = spawn(PYTHON, command, { cwd: ROOT, stdio: ["ignore", "pipe", "ignore"] });
  for await (const line of createInterface({ input: server.stdout! })) {
    const port = /(?:127\.0\.0\.1:| port )(\d+)/.exec(line)?.[1];
    if (!port) continue;
    const ended = new Promise<void>((resolve) => server.once("exit", () => resolve()));
    return { url: `http://127.0.0.1:${port}/`, stop: () => (server.kill(), ended) };
  }
  throw new Error(`${command.join(" ")} ended before it served`);
}

/** A page that is open, and everything that it has asked for or complained of. */
export interface Visit {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly requests: string[];
  readonly complaints: string[];
}

export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
  watch: (context: BrowserContext) => void = () => undefined,
): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  watch(context);
  const requests: string[] = [];
  const complaints: string[] = [];
  context.on("request", (request) => requests.push(request.url()));
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.setDefaultTimeout(READY_MS);
  await page.goto(url);
  await page.waitForSelector("html[data-models=ready]");
  return { context, page, requests, complaints };
}

/** Open a phantom, and wait until boxes on it are answered at once. */
export async function openPhantom(page: Page, title: string): Promise<void> {
  await page.getByRole("button", { name: title, exact: true }).click();
  await page.waitForSelector("html[data-encoded]");
}

export async function openFile(page: Page, ...paths: string[]): Promise<void> {
  await page.setInputFiles("#pick", paths);
  await page.waitForSelector("#tools:not([hidden]), #problem:not([hidden])");
}

/** Where pixels of the image lie in the window. */
export async function placer(page: Page): Promise<(x: number, y: number) => { x: number; y: number }> {
  const sides = /(\d+) × (\d+)/.exec(await page.locator("#file").innerText())!;
  const [width, height] = [Number(sides[1]), Number(sides[2])];
  const stage = (await page.locator("#stage").boundingBox())!;
  const scale = Math.min((stage.width - 24) / width, (stage.height - 24) / height);
  const left = stage.x + (stage.width - width * scale) / 2;
  const top = stage.y + (stage.height - height * scale) / 2;
  return (x, y) => ({ x: left + x * scale, y: top + y * scale });
}

/** Drag the mouse from one pixel of the image to another. */
export async function drag(page: Page, from: readonly number[], to: readonly number[], button: "left" | "right" = "left") {
  const at = await placer(page);
  const [start, end] = [at(from[0], from[1]), at(to[0], to[1])];
  await page.mouse.move(start.x, start.y);
  await page.mouse.down({ button });
  await page.mouse.move((start.x + end.x) / 2, (start.y + end.y) / 2);
  await page.mouse.move(end.x, end.y);
  await page.mouse.up({ button });
}

/** Draw a box, and wait for its mask. */
export async function drawBox(page: Page, [x0, y0, x1, y1]: readonly number[]): Promise<void> {
  const before = await page.locator("#objects li").count();
  await drag(page, [x0 + 0.5, y0 + 0.5], [x1 + 0.5, y1 + 0.5]);
  await page.locator("#objects li").nth(before).waitFor();
  await answered(page);
}

/** Until every object has its figures. */
export const answered = (page: Page): Promise<unknown> =>
  page.waitForFunction(() => [...document.querySelectorAll(".figures")].every((figures) => figures.textContent !== "…"));

/** Pixels or voxels of each object, as the panel says. */
export async function sizes(page: Page): Promise<number[]> {
  const texts = await page.locator(".figures").allInnerTexts();
  return texts.map((text) => Number(/([\d,]+) (px|voxels)/.exec(text)?.[1].replaceAll(",", "") ?? 0));
}

/** Download what a button saves, to a folder. */
export async function download(page: Page, button: string, folder: string): Promise<string> {
  const [saved] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: button, exact: true }).click()]);
  const path = `${folder}/${saved.suggestedFilename()}`;
  await saved.saveAs(path);
  return path;
}

/** axe's complaints, one line each. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(await readFile(`${ROOT}web/node_modules/axe-core/axe.min.js`, "utf8"));
  return page.evaluate(async () => {
    const { violations } = await (window as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } }).axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
  });
}

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string }[];
}
