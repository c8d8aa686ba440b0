/** What a model says about itself: the metadata_props of its ONNX file, read without an ONNX library. */

export interface Metadata {
  readonly inputSize: number;
  readonly logitSize: number;
  readonly normalise: "after_padding" | "before_padding";
  readonly pixelEdges: boolean;
  readonly embeddings: readonly string[];
  readonly state: readonly string[];
  readonly pair: string;
}

const PREFIX = "qmedsam.";
const FORMAT = "2";
// Fields of ModelProto and of StringStringEntryProto, and protobuf's wire types.
const METADATA_PROPS = 14;
const KEY = 1;
const VALUE = 2;
const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** Read the metadata of an ONNX file; throws where it was not exported for this runtime. */
export function readMetadata(onnx: Uint8Array): Metadata {
  const props = new Map<string, string>();
  for (const [number, entry] of fields(onnx)) {
    if (number !== METADATA_PROPS) continue;
    const parts = new Map(fields(entry));
    const text = (field: number): string => new TextDecoder().decode(parts.get(field));
    props.set(text(KEY), text(VALUE));
  }
  const get = (name: string): string => {
    const value = props.get(PREFIX + name);
    if (value === undefined) throw new Error(`the model lacks the metadata '${name}'`);
    return value;
  };
  const names = (name: string): string[] => (props.get(PREFIX + name) ?? "").split(",").filter(Boolean);
  if (get("format") !== FORMAT) throw new Error(`the model has metadata of format ${get("format")}, not ${FORMAT}`);
  return {
    inputSize: Number(get("input_size")),
    logitSize: Number(get("logit_size")),
    normalise: get("normalise") === "after_padding" ? "after_padding" : "before_padding",
    pixelEdges: get("box_convention") === "xyxy_pixel_edges",
    embeddings: names("embeddings"),
    state: names("state"),
    pair: get("pair"),
  };
}

function* fields(data: Uint8Array): Generator<[number, Uint8Array]> {
  let position = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = data[position++];
      if (byte === undefined) throw new Error("the model is not a whole ONNX file");
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (position < data.length) {
    const tag = varint();
    const wire = tag % 8;
    if (wire === VARINT) {
      varint();
      continue;
    }
    if (wire !== LENGTH_DELIMITED && wire !== FIXED64 && wire !== FIXED32) {
      throw new Error("the model is not an ONNX file");
    }
    const length = wire === LENGTH_DELIMITED ? varint() : wire === FIXED64 ? 8 : 4;
    yield [Math.floor(tag / 8), data.subarray(position, position + length)];
    position += length;
  }
}
