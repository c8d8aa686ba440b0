/** What a file is, its first bytes say; gzip is for the browser to decompress. */

export const begins = (bytes: Uint8Array, ...start: number[]): boolean => start.every((byte, i) => bytes[i] === byte);

export const isGzip = (bytes: Uint8Array): boolean => begins(bytes, 0x1f, 0x8b);

export async function gunzip(bytes: Uint8Array): Promise<Uint8Array> {
  try {
    const stream = new Blob([bytes as BlobPart]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new Error("damaged: it cannot be decompressed");
  }
}
