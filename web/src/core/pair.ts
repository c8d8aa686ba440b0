/** The models that ship, on ONNX Runtime's WebAssembly: image encoder, box-prompted decoder, volume decoder. */

import type * as Ort from "onnxruntime-web/wasm";

import { Metadata, readMetadata } from "./metadata";

export type Embeddings = Readonly<Record<string, Ort.Tensor>>;
export type State = Readonly<Record<string, Float32Array>>; // of one object, by the names in the metadata

/** Reads a model file: `encoder.onnx`, `decoder.onnx` or `volume_decoder.onnx`. */
export type ReadModel = (name: string) => Promise<Uint8Array>;

export interface Followed {
  readonly logits: Float32Array; // (L, L)
  readonly presence: number; // a logit: positive where the object is on the slice
  readonly state: State;
}

export class ModelPair {
  private follower: Promise<Ort.InferenceSession> | null = null;
  private last: Promise<unknown> = Promise.resolve(); // ONNX Runtime does one thing at a time

  private constructor(
    private readonly ort: typeof Ort,
    private readonly read: ReadModel,
    private readonly encoder: Ort.InferenceSession,
    private readonly decoder: Ort.InferenceSession,
    readonly metadata: Metadata,
  ) {}

  /** Load encoder and decoder; the volume decoder follows when it is needed. */
  static async load(ort: typeof Ort, read: ReadModel): Promise<ModelPair> {
    const files = await Promise.all([read("encoder.onnx"), read("decoder.onnx")]);
    const [metadata, ofDecoder] = files.map(readMetadata);
    if (metadata.pair !== ofDecoder.pair) throw new Error("encoder and decoder were not exported together");
    const encoder = await session(ort, files[0]);
    return new ModelPair(ort, read, encoder, await session(ort, files[1]), metadata);
  }

  /** Embeddings of one preprocessed image (3, S, S). */
  async encode(image: Float32Array): Promise<Embeddings> {
    const side = this.metadata.inputSize;
    return this.run(this.encoder, { image: new this.ort.Tensor("float32", image, [1, 3, side, side]) });
  }

  /** Low-resolution logits (L, L) of each object, and the IoU with it that the model expects of its mask. */
  async decode(embeddings: Embeddings, boxes: readonly (readonly number[])[]) {
    const prompts = this.tensor(boxes.flat(), [boxes.length, 4]);
    const outputs = await this.run(this.decoder, { ...embeddings, boxes: prompts });
    return { logits: this.split(outputs.low_res_logits, boxes.length), scores: floats(outputs.iou) };
  }

  /**
   * Decode an object on one more slice of a volume.
   *
   * @param place slices to the object's first and last one (-1 where unknown), and from the one it started from.
   * @param neighbours (2, S/4, S/4): where the boxes of others lie.
   * @param state what the slice before left; null on the slice that it starts from.
   */
  async follow(
    embeddings: Embeddings,
    box: readonly number[],
    place: readonly number[],
    neighbours: Float32Array,
    state: State | null,
  ): Promise<Followed> {
    const session = await this.volumeDecoder();
    const side = this.metadata.inputSize / 4;
    const feeds: Record<string, Ort.Tensor> = {
      ...embeddings,
      boxes: this.tensor(box, [1, 4]),
      place: this.tensor(place, [1, 3]),
      neighbours: this.tensor(neighbours, [1, 2, side, side]),
    };
    for (const name of this.metadata.state) {
      const shape = [1, ...shapeOf(session, name).slice(1)];
      const size = shape.reduce((product, length) => product * length, 1);
      feeds[name] = this.tensor(state ? state[name] : new Float32Array(size), shape);
    }
    const outputs = await this.run(session, feeds);
    return {
      logits: floats(outputs.low_res_logits),
      presence: floats(outputs.presence)[0],
      state: Object.fromEntries(this.metadata.state.map((name) => [name, floats(outputs[`next_${name}`])])),
    };
  }

  private run(session: Ort.InferenceSession, feeds: Record<string, Ort.Tensor>) {
    const outputs = this.last.then(() => session.run(feeds));
    this.last = outputs.catch(() => undefined);
    return outputs as Promise<Record<string, Ort.Tensor>>;
  }

  private volumeDecoder(): Promise<Ort.InferenceSession> {
    this.follower ??= this.read("volume_decoder.onnx").then((file) => {
      if (readMetadata(file).pair !== this.metadata.pair) {
        throw new Error("encoder and volume decoder were not exported together");
      }
      return session(this.ort, file);
    });
    return this.follower;
  }

  private tensor(values: Float32Array | readonly number[], shape: number[]): Ort.Tensor {
    return new this.ort.Tensor("float32", Float32Array.from(values), shape);
  }

  private split(tensor: Ort.Tensor, count: number): Float32Array[] {
    const values = floats(tensor);
    const size = values.length / count;
    return Array.from({ length: count }, (_, i) => values.slice(i * size, (i + 1) * size));
  }
}

function session(ort: typeof Ort, file: Uint8Array): Promise<Ort.InferenceSession> {
  return ort.InferenceSession.create(file, {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
    // Threads that wait by spinning make everything several times slower where cores are few or busy.
    extra: { session: { intra_op: { allow_spinning: "0" } } },
  });
}

const floats = (tensor: Ort.Tensor): Float32Array => tensor.data as Float32Array;

function shapeOf(session: Ort.InferenceSession, name: string): number[] {
  const found = session.inputMetadata.find((input) => input.name === name);
  if (!found?.isTensor) throw new Error(`the volume decoder has no input '${name}'`);
  return found.shape.map(Number);
}
