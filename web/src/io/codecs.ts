/** JPEG 2000 by OpenJPEG and JPEG-LS by CharLS: half a megabyte, which is loaded where such pixels are met. */

import charls from "@cornerstonejs/codec-charls/decodewasmjs";
import charlsBinary from "@cornerstonejs/codec-charls/decodewasm";
import openJpeg, { Decoder } from "@cornerstonejs/codec-openjpeg/decodewasmjs";
import openJpegBinary from "@cornerstonejs/codec-openjpeg/decodewasm";

type DecoderClass = new () => Decoder;

const SILENT = { print: () => undefined, printErr: () => undefined };
const CODECS = {
  jpeg2000: async () => (await openJpeg({ wasmBinary: openJpegBinary, ...SILENT })).J2KDecoder,
  jpegLs: async () => (await charls({ wasmBinary: charlsBinary, ...SILENT })).JpegLSDecoder,
};
const loaded = new Map<string, Promise<DecoderClass>>();

/** The samples of an image, little-endian. Throws where it is damaged. */
export async function decode(name: keyof typeof CODECS, data: Uint8Array): Promise<Uint8Array> {
  if (!loaded.has(name)) loaded.set(name, CODECS[name]());
  try {
    const decoder = new (await loaded.get(name)!)();
    decoder.getEncodedBuffer(data.length).set(data);
    decoder.decode();
    const samples = new Uint8Array(decoder.getDecodedBuffer()); // a copy: theirs is memory of the codec
    decoder.delete();
    return samples;
  } catch (error) {
    loaded.delete(name); // a codec that has failed may not work any more
    throw new Error("damaged: its pixels cannot be decompressed", { cause: error });
  }
}
