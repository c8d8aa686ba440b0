"""Exporting a model: the graphs of its encoder and its decoder, as ONNX files of the runtime.

    encoder: image (1, 3, S, S) float32 in 0..1 -> image_embedding, and image_embedding_1, ... where there are more
    decoder: those, boxes (N, 4) float32 xyxy in input pixels -> low_res_logits (N, L, L), iou (N,); any N

The decoder holds the prompt encoder, and of the mask decoder the single-mask output only. Both are arranged for speed
(see training.export.form); embeddings have the shape that suits this, and only the decoder of the pair can read them.
What the runtime must know (input size, order of normalisation and padding, ...) is written into the metadata of both.
"""

import copy
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from inference.model.metadata import AFTER_PADDING
from training.export.form import for_export
from training.export.onnx_pair import FLOAT32, INT8, describe, embedding_names, write_pair
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

    Raises:
        ValueError: a pair that the runtime could not run right.
    """
    image = torch.zeros(1, 3, model.input_size, model.input_size)
    logit_size = model.logit_size
    model = for_export(merge_batchnorm(copy.deepcopy(model).eval()))
    with torch.no_grad():
        embeddings = model.encode(image)
    names = embedding_names(len(embeddings))
    boxes = torch.tensor(EXAMPLE_BOXES)
    any_number = ((None,) * len(embeddings) + ({0: torch.export.Dim("N")},),)

    encoder = trace_onnx(Encoder(model), (image,), ["image"], names)
    outputs = ["low_res_logits", "iou"]
    decoder = trace_onnx(Decoder(model), (*embeddings, boxes), [*names, "boxes"], outputs, any_number)
    check_logits(decoder, logit_size)
    return encoder, decoder


def check_logits(decoder: onnx.ModelProto, logit_size: int) -> None:
    """Check that a decoder's logits are as large as the metadata are going to say: the runtime could not tell.

    Raises:
        ValueError: they are not (N, logit_size, logit_size).
    """
    shape = [side.dim_value for side in decoder.graph.output[0].type.tensor_type.shape.dim]
    if shape[1:] != [logit_size, logit_size]:
        raise ValueError(f"the decoder's logits have shape {shape}, the model's are {logit_size} x {logit_size}")
