/** Where `web/tests/fixtures.py` has left its files, and how they are read in Node. */

import { existsSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";

import { NpyArray, readNpz } from "../src/io/npz";

export const FIXTURES = process.env.WEB_FIXTURES ?? new URL("../made", import.meta.url).pathname;

export const fixture = (...parts: string[]): string => join(FIXTURES, ...parts);

export const hasFixtures = (...parts: string[]): boolean => existsSync(fixture(...parts));

/** Names in a folder, in order. */
export const names = async (...parts: string[]): Promise<string[]> => (await readdir(fixture(...parts))).sort();

/** A file, or all files of a folder, as a browser hands them over. */
export async function filesOf(...parts: string[]): Promise<File[]> {
  const path = fixture(...parts);
  const inside = await readdir(path).catch(() => null);
  const one = async (file: string): Promise<File> => new File([await readFile(file)], file.split("/").at(-1)!);
  return Promise.all(inside ? inside.map((name) => one(join(path, name))) : [one(path)]);
}

export const arraysOf = async (path: string): Promise<Map<string, NpyArray>> => readNpz(await readFile(path));
