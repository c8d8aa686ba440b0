"""Exporting a model: the graphs of its encoder and its decoders, as ONNX files of the runtime.

    encoder: image (1, 3, S, S) float32 in 0..1 -> image_embedding, and image_embedding_1, ... where there are more
    decoder: those, boxes (N, 4) float32 xyxy in input pixels -> low_res_logits (N, L, L), iou (N,); any N
    volume_decoder: those, boxes (1, 4), place (1, 3), neighbours (1, 2, L/4, L/4) and what the slice before left, by
        the names of the model's `state` -> low_res_logits, presence (1,), next_... for each name; only of models that
        follow objects through volumes. For one object: OpenVINO makes a quicker graph of sizes that it knows

The decoder holds the prompt encoder, and of the mask decoder the single-mask output only. Both are arranged for speed
(see training.export.form); embeddings have the shape that suits this, and only the decoder of the pair can read them.
What the runtime must know (input size, order of normalisation and padding, ...) is written into the metadata of all.
"""

import copy
from collections.abc import Collection
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from tqdm import tqdm

from inference.model.metadata import AFTER_PADDING, DECODER, ENCODER, VOLUME_DECODER
from inference.segment.neighbours import MAPS
from training.export.form import for_export
from training.export.onnx_pair import FLOAT32, INT8, describe, embedding_names, write_pair
from training.quantization import merge_batchnorm
from training.quantization.qcdq import trace_onnx

EXAMPLE_BOXES = [[10.0, 20, 120, 90], [30, 5, 60, 250], [0, 0, 256, 256]]  # any number but 1, which traces as constant
PROMPTS = ("boxes", "place", "neighbours")  # of the volume decoder
EXAMPLE_PLACE = [4.0, 4, 0]


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


class VolumeDecoder(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        first = len(inputs) - len(PROMPTS) - len(self.model.state)
        embeddings, (boxes, place, neighbours, *state) = inputs[:first], inputs[first:]
        logits, presence, following = self.model.follow(embeddings, boxes, place, neighbours, tuple(state))
        return logits, presence, *following


def export_pair(model: nn.Module, folder: Path, normalise: str = AFTER_PADDING) -> None:
    """Write encoder.onnx and decoder.onnx of a model, floating-point or quantized, into a folder, and
    volume_decoder.onnx of one that follows objects through volumes.

    normalise: `after_padding` or `before_padding`, as the model was trained.
    """
    graphs = trace_pair(model)
    precision = INT8 if hasattr(model, "recipe") else FLOAT32
    write_pair(folder, graphs, describe(model, len(graphs[ENCODER].graph.output), normalise, precision))


def trace_pair(model: nn.Module, to_quantize: Collection[str] = ()) -> dict[str, onnx.ModelProto]:
    """The graphs by the names of their files, batch norms merged and arranged for export; the model is left as it is.

    A quantized model becomes a QCDQ graph (QuantizeLinear, Clip where there is something to clip, DequantizeLinear)
    with integer weights. to_quantize: names of layers that are quantized in the graphs later.
    A progress bar shows on a terminal.

    Raises:
        ValueError: a pair that the runtime could not run right.
    """
    image = torch.zeros(1, 3, model.input_size, model.input_size)
    logit_size = model.logit_size
    model = for_export(merge_batchnorm(copy.deepcopy(model).eval()), to_quantize)
    with torch.no_grad():
        embeddings = model.encode(image)
    names = embedding_names(len(embeddings))
    boxes = torch.tensor(EXAMPLE_BOXES)
    any_number = ((None,) * len(embeddings) + ({0: torch.export.Dim("N")},),)

    to_trace = {
        ENCODER: (Encoder(model), (image,), ["image"], names),
        DECODER: (Decoder(model), (*embeddings, boxes), [*names, "boxes"], ["low_res_logits", "iou"], any_number),
    }
    if model.state:
        state = model.empty_state(1, embeddings[0])
        inputs = [*names, *PROMPTS, *model.state]
        outputs = ["low_res_logits", "presence", *(f"next_{name}" for name in model.state)]
        neighbours = torch.zeros(1, len(MAPS), *state.mask.shape[2:])
        example = (*embeddings, boxes[:1], torch.tensor([EXAMPLE_PLACE]), neighbours, *state)
        to_trace[VOLUME_DECODER] = (VolumeDecoder(model), example, inputs, outputs)

    items = tqdm(to_trace.items(), "export", unit="graph", disable=None)
    graphs = {name: trace_onnx(*arguments) for name, arguments in items}
    for name in graphs.keys() - {ENCODER}:
        check_logits(graphs[name], logit_size)
    return graphs


def check_logits(decoder: onnx.ModelProto, logit_size: int) -> None:
    """Check that a decoder's logits are as large as the metadata are going to say: the runtime could not tell.

    Raises:
        ValueError: they are not (N, logit_size, logit_size).
    """
    shape = [side.dim_value for side in decoder.graph.output[0].type.tensor_type.shape.dim]
    if shape[1:] != [logit_size, logit_size]:
        raise ValueError(f"the decoder's logits have shape {shape}, the model's are {logit_size} x {logit_size}")
