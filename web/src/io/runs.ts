/** DICOM's run lengths (PS3.5, annex G): a segment for each byte of a value, the highest first. */

const HEADER_BYTES = 64;

/** The bytes of one frame, values little endian, of colours channel by channel interleaved. */
export function unpackRuns(data: Uint8Array, pixels: number, bytesPerPixel: number): Uint8Array {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const count = view.getUint32(0, true);
  if (count !== bytesPerPixel) throw new Error("damaged run lengths");
  const out = new Uint8Array(pixels * bytesPerPixel);
  const bytesPerValue = bytesPerPixel === 3 ? 1 : bytesPerPixel;
  for (let segment = 0; segment < count; segment++) {
    const start = view.getUint32(4 + 4 * segment, true);
    const end = segment + 1 < count ? view.getUint32(8 + 4 * segment, true) : data.length;
    const plane = unpack(data.subarray(Math.max(start, HEADER_BYTES), end), pixels);
    const byte = bytesPerPixel === 3 ? segment : bytesPerValue - 1 - segment;
    for (let i = 0; i < pixels; i++) out[i * bytesPerPixel + byte] = plane[i];
  }
  return out;
}

function unpack(runs: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size);
  let at = 0;
  for (let i = 0; i < runs.length && at < size; ) {
    const length = runs[i++];
    if (length < 128) {
      out.set(runs.subarray(i, Math.min(i + length + 1, i + size - at)), at);
      i += length + 1;
      at += length + 1;
    } else if (length > 128) {
      out.fill(runs[i++], at, at + 257 - length);
      at += 257 - length;
    }
  }
  if (at < size) throw new Error("run lengths that end early");
  return out;
}
