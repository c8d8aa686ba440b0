/** From the files that were dropped to an image; what a file is, its first bytes say. */

import { NamedFile, isDicom, readDicom } from "./dicom";
import { Vector } from "./grid";
import { begins, gunzip, isGzip } from "./gzip";
import { Image, pictureOf, volumeOf } from "./image";
import { isNifti, readNifti } from "./nifti";
import { NpyArray, readNpz } from "./npz";
import { readBitmap, readPng, readTiff } from "./picture";

/** Read what is one image: a file, or the slices of a DICOM series. Throws one line that names file and reason. */
export async function openFiles(files: readonly File[], choice: number): Promise<Image> {
  const shown = files.filter(({ name }) => !name.startsWith("."));
  if (!shown.length) throw new Error("There is no file in it.");
  const read: NamedFile[] = await Promise.all(
    shown.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })),
  );
  const dicom = read.filter(({ bytes }) => isDicom(bytes));
  const { name, bytes } = dicom[0] ?? read[0];
  try {
    if (dicom.length) return await readDicom(dicom.length > 1 ? folderOf(shown) || name : name, dicom, choice);
    if (read.length > 1) throw new Error(`${read.length} files that are no DICOM series: open one at a time`);
    return await openFile(name, bytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(reason.startsWith(name) ? reason : `${name}: ${reason}`);
  }
}

const folderOf = (files: readonly File[]): string => files[0].webkitRelativePath?.split("/").at(-2) ?? "";

async function openFile(name: string, bytes: Uint8Array): Promise<Image> {
  if (isGzip(bytes)) return openFile(name, await gunzip(bytes));
  if (begins(bytes, 0x50, 0x4b)) return readCase(name, bytes);
  if (begins(bytes, 0x89, 0x50, 0x4e, 0x47)) return damaged(() => readPng(name, bytes), "a damaged picture");
  const isTiff = begins(bytes, 0x49, 0x49, 0x2a, 0) || begins(bytes, 0x4d, 0x4d, 0, 0x2a) || begins(bytes, 0x49, 0x49, 0x2b, 0);
  if (isTiff) return damaged(() => readTiff(name, bytes), "a damaged TIFF, or one of a kind that is not read here");
  const buffer = bytes.slice().buffer;
  if (isNifti(buffer)) return readNifti(name, buffer);
  return damaged(() => readBitmap(name, bytes), "damaged, or of a format that this page does not read (PNG, JPEG, WebP, TIFF, NIfTI, DICOM, npz)");
}

async function damaged(read: () => Image | Promise<Image>, reason: string): Promise<Image> {
  try {
    return await read();
  } catch (error) {
    throw new Error(reason, { cause: error });
  }
}

/** A case of the challenge: `imgs`, and `boxes` and `spacing` where there are some. */
function readCase(name: string, bytes: Uint8Array): Image {
  let arrays: Map<string, NpyArray>;
  try {
    arrays = readNpz(bytes);
  } catch (error) {
    throw new Error("not an npz case, or a damaged one", { cause: error });
  }
  const imgs = arrays.get("imgs");
  if (!imgs) throw new Error("array 'imgs' is missing");
  const { shape } = imgs;
  const channels = shape.length > 2 && shape[shape.length - 1] === 3 ? 3 : 1;
  const sides = channels === 3 ? shape.slice(0, -1) : shape;
  if (imgs.data.some((value) => !(value >= 0 && value <= 255))) throw new Error("'imgs' holds values outside 0..255");
  const data = Uint8Array.from(imgs.data);
  const boxes = boxesOf(arrays.get("boxes"), sides.length);
  if (sides.length === 2) return { ...pictureOf(name, sides[0], sides[1], data, channels), boxes };
  if (sides.length !== 3) throw new Error(`'imgs' has shape (${shape.join(", ")})`);
  const spacing = arrays.get("spacing")?.data;
  const apart: Vector | null = spacing?.length === 3 ? [spacing[0], spacing[1], spacing[2]] : null;
  return { ...volumeOf(name, [sides[0], sides[1], sides[2]], data, channels, apart), boxes };
}

function boxesOf(table: NpyArray | undefined, dimensions: number) {
  if (!table || table.shape.length !== 2 || table.shape[1] !== 2 * dimensions) return [];
  const columns = table.shape[1];
  return Array.from({ length: table.shape[0] }, (_, i) => ({
    box: [...table.data.slice(columns * i, columns * (i + 1))],
  }));
}
