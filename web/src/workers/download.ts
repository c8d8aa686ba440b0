/** The large files of the page: they lie there compressed, and are downloaded once. */

import { decompress } from "fzstd";

import { begins, gunzip, isGzip } from "../io/gzip";

declare const MODELS_CACHE: string; // named after what they hold; the service worker answers from it too

/** Download and decompress a file, or take the one that was kept. */
export async function download(path: string, onBytes: (bytes: number) => void): Promise<Uint8Array> {
  const response = await kept(path);
  if (!response.ok || !response.body) throw new Error(`${path} could not be downloaded (${response.status})`);
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      onBytes(chunk.length);
      controller.enqueue(chunk);
    },
  });
  return unpacked(new Uint8Array(await new Response(response.body.pipeThrough(counter) as BodyInit).arrayBuffer()));
}

/** Some servers say of such files that they are transferred compressed; the browser has decompressed them then. */
async function unpacked(bytes: Uint8Array): Promise<Uint8Array> {
  if (begins(bytes, 0x28, 0xb5, 0x2f, 0xfd)) return decompress(bytes); // Zstandard
  return isGzip(bytes) ? gunzip(bytes) : bytes;
}

const keeping: Promise<void>[] = [];

/** Until all that was downloaded is kept for the next time. */
export const allKept = (): Promise<unknown> => Promise.all(keeping);

async function kept(path: string): Promise<Response> {
  if (!("caches" in self)) return fetch(path); // there are none without https
  const cache = await caches.open(MODELS_CACHE);
  const found = await cache.match(path);
  if (found) return found;
  const response = await fetch(path, { cache: "no-cache" });
  if (response.ok) keeping.push(cache.put(path, response.clone()).catch(() => undefined)); // where there is no room, the next time too
  return response;
}
