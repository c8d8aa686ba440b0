/** Ordinary pictures: PNG, JPEG, WebP and what else the browser decodes; TIFF. As viewers show them, without alpha. */

import { convertIndexedToRgb, decode } from "fast-png";
import { fromArrayBuffer } from "geotiff";

import { Image, pictureOf } from "./image";
import { percentileRange, shadesOf, toGrey } from "./intensity";
import { Numbers } from "./npz";

const MOST_PIXELS = 100e6; // more would not fit in a tab's memory

export function readPng(name: string, file: Uint8Array): Image {
  const png = decode(file);
  if (png.palette) return ofChannels(name, png.height, png.width, convertIndexedToRgb(png), png.palette[0].length);
  return ofChannels(name, png.height, png.width, unpacked(png), png.channels);
}

/** Values of 1, 2 or 4 bits, several to a byte, as 8 bits. */
function unpacked({ data, depth, width, height }: ReturnType<typeof decode>): Numbers {
  if (depth >= 8) return data instanceof Uint16Array ? data : new Uint8Array(data);
  const perByte = 8 / depth;
  const rowBytes = Math.ceil(width / perByte);
  const most = 2 ** depth - 1;
  return Uint8Array.from({ length: width * height }, (_, i) => {
    const x = i % width;
    const byte = data[Math.floor(i / width) * rowBytes + Math.floor(x / perByte)];
    return (((byte >> (8 - depth * ((x % perByte) + 1))) & most) * 255) / most;
  });
}

/** What the browser decodes, turned upright as EXIF says. */
export async function readBitmap(name: string, file: Uint8Array): Promise<Image> {
  const { width, height, data } = await bitmapPixels(file);
  return ofChannels(name, height, width, new Uint8Array(data.buffer), 4);
}

export async function bitmapPixels(file: Uint8Array): Promise<ImageData> {
  const bitmap = await createImageBitmap(new Blob([file as BlobPart]), {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  });
  const { width, height } = bitmap;
  checkSize(width, height);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

export async function readTiff(name: string, file: Uint8Array): Promise<Image> {
  const tiff = await fromArrayBuffer(file.slice().buffer);
  const page = await tiff.getImage();
  const [width, height] = [page.getWidth(), page.getHeight()];
  checkSize(width, height);
  const count = await tiff.getImageCount();
  const notes = count > 1 ? [`holds ${count} pages, of which the first is taken`] : [];
  const photometric: unknown = page.fileDirectory.getValue("PhotometricInterpretation");
  const isColour = photometric !== 0 && photometric !== 1;
  const values = (await (isColour && page.getBitsPerSample(0) <= 8
    ? page.readRGB({ interleave: true })
    : page.readRasters({ interleave: true }))) as unknown as Numbers;
  if (photometric === 0) invert(values, 2 ** page.getBitsPerSample(0) - 1);
  return ofChannels(name, height, width, values, values.length / (width * height), notes);
}

function invert(values: Numbers, most: number): void {
  for (let i = 0; i < values.length; i++) values[i] = most - values[i];
}

function checkSize(width: number, height: number): void {
  if (width * height > MOST_PIXELS) throw new Error(`${width} x ${height} pixels are more than a page can hold`);
}

/** Gray of any number of bits, or colours of 8; alpha is dropped, equal channels are one. */
export function ofChannels(
  name: string,
  height: number,
  width: number,
  data: Numbers,
  channels: number,
  notes: readonly string[] = [],
): Image {
  checkSize(width, height);
  if (data.length < width * height * channels || !(channels >= 1)) throw new Error("ends early");
  if (channels <= 2 || isGrey(data, channels)) {
    return pictureOf(name, height, width, channels === 1 ? data : strided(data, channels, [0]), 1, notes);
  }
  const rgb = channels === 3 ? data : strided(data, channels, [0, 1, 2]);
  const bytes = rgb instanceof Uint8Array ? rgb : toGrey(rgb, shadesOf(...percentileRange(rgb)));
  return pictureOf(name, height, width, bytes, 3, notes);
}

function isGrey(data: Numbers, channels: number): boolean {
  for (let i = 0; i < data.length; i += channels) {
    if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
  }
  return true;
}

function strided(data: Numbers, channels: number, kept: readonly number[]): Numbers {
  const pixels = data.length / channels;
  const out = new (data.constructor as new (length: number) => Numbers)(pixels * kept.length);
  let at = 0;
  for (let i = 0; i < data.length; i += channels) for (const channel of kept) out[at++] = data[i + channel];
  return out;
}
