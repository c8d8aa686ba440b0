declare module "@cornerstonejs/*/decodewasmjs" {
  export interface Decoder {
    getEncodedBuffer(length: number): Uint8Array;
    decode(): void;
    getDecodedBuffer(): Uint8Array;
    delete(): void;
  }

  interface Options {
    readonly wasmBinary: Uint8Array;
    print(line: string): void;
    printErr(line: string): void;
  }

  export default function load(options: Options): Promise<Readonly<Record<string, new () => Decoder>>>;
}

declare module "@cornerstonejs/*/decodewasm" {
  const binary: Uint8Array;
  export default binary;
}
