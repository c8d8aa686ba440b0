// The package ships no types that TypeScript finds.
declare module "jpeg-lossless-decoder-js" {
  export class Decoder {
    decompress(data: ArrayBuffer): ArrayBuffer;
  }
}
