"""Export a checkpoint to the two ONNX files of the runtime: encoder.onnx and decoder.onnx.

    encoder: image (1, 3, S, S) float32 in 0..1 -> image_embedding, and image_embedding_1, ... where there are more
    decoder: those, boxes (N, 4) float32 xyxy in input pixels -> low_res_logits (N, 256, 256), iou (N,); any N

The decoder holds the prompt encoder, and of the mask decoder the single-mask output only. Both are arranged for speed
(see training.export_form); embeddings have the shape that suits this, and only the decoder of the pair can read them.
What the runtime must know (input size, order of normalisation and padding, ...) is written into the metadata of both.
"""

import argparse
import copy
import sys
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from inference.metadata import AFTER_PADDING, BEFORE_PADDING
from training.checkpoint import DEFAULT_MODEL, CheckpointError, load_model
from training.export_form import for_export
from training.model import MODELS, build_model
from training.model.untrained import fill_randomly
from training.onnx_pair import FLOAT32, INT8, describe, embedding_names, write_pair
from training.quantization import merge_batchnorm
from training.quantization.qcdq import trace_onnx

EXAMPLE_BOXES = [[10.0, 20, 120, 90], [30, 5, 60, 250], [0, 0, 256, 256]]  # any number but 1, which traces as constant


class Encoder(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.model.encode(image)


class Decoder(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        *embeddings, boxes = inputs
        return self.model.decode(tuple(embeddings), boxes)


def export_pair(model: nn.Module, folder: Path, normalise: str = AFTER_PADDING) -> None:
    """Write encoder.onnx and decoder.onnx of a model, floating-point or quantized, into a folder.

    normalise: `after_padding` or `before_padding`, as the model was trained.
    """
    encoder, decoder = trace_pair(model)
    precision = INT8 if hasattr(model, "recipe") else FLOAT32
    write_pair(folder, encoder, decoder, describe(model, len(encoder.graph.output), normalise, precision))


def trace_pair(model: nn.Module) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The graphs of encoder and decoder, batch norms merged and arranged for export; the model is left as it is.

    A quantized model becomes a QCDQ graph (QuantizeLinear, Clip where there is something to clip, DequantizeLinear)
    with integer weights.
    """
    image = torch.zeros(1, 3, model.input_size, model.input_size)
    model = for_export(merge_batchnorm(copy.deepcopy(model).eval()))
    with torch.no_grad():
        embeddings = model.encode(image)
    names = embedding_names(len(embeddings))
    boxes = torch.tensor(EXAMPLE_BOXES)
    any_number = ((None,) * len(embeddings) + ({0: torch.export.Dim("N")},),)

    encoder = trace_onnx(Encoder(model), (image,), ["image"], names)
    outputs = ["low_res_logits", "iou"]
    decoder = trace_onnx(Decoder(model), (*embeddings, boxes), [*names, "boxes"], outputs, any_number)
    return encoder, decoder


def add_normalise(parser: argparse.ArgumentParser) -> None:
    """Add `--normalise`, which every command needs that starts from a checkpoint that does not say."""
    parser.add_argument(
        "--normalise",
        choices=[AFTER_PADDING, BEFORE_PADDING],
        default=AFTER_PADDING,
        help="min-max normalisation that the model was trained with: after the padding (QMedSAM, our training) or "
        "before it (LiteMedSAM's public checkpoint) (default: %(default)s)",
    )


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path, metavar="FILE", help="checkpoint, a published one or our own")
    source.add_argument("--untrained", type=int, metavar="SEED", help="no checkpoint: random weights from this seed")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the two files")
    parser.add_argument(
        "--model", choices=list(MODELS), help=f"model (default: the checkpoint's own, else {DEFAULT_MODEL})"
    )
    add_normalise(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        if options.checkpoint:
            model = load_model(options.checkpoint, options.model)
        else:
            model = build_model(options.model or DEFAULT_MODEL)
            fill_randomly(model, options.untrained)
        export_pair(model, options.out, options.normalise)
    except (CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: encoder.onnx and decoder.onnx of {model.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
