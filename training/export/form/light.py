"""The light model arranged for export: embeddings handed over channels last, prompts as maps from the start.

OpenVINO lays out a sum as most of its inputs are. Embeddings and prompts that arrive channels first make all sums of
the decoder so, and put a reorder before and behind each convolution: a quarter of the decoder's time. Nor does it take
back a transposition that two operations need in different directions: what is done pixel by pixel, pooling and the keys
of the slice memory, takes the embeddings as they come.
"""

import copy
from collections.abc import Iterable

import torch
from brevitas import nn as qnn
from torch import Tensor, nn
from torch.nn import functional as F

from training.export.form.runs import on_runs
from training.model.light import LightModel
from training.model.light_decoder import AxisEmbedding, BoxPromptEncoder, LightMaskDecoder
from training.model.light_encoder import ResidualConvBlock
from training.model.slice_memory import SliceMemory, SliceState
from training.model.volume_decoder import Followed, VolumeDecoder

RUN = 4  # pixels of a row of the finest level, whose logits are computed at once


class ExportedLight(nn.Module):
    def __init__(self, model: LightModel):
        super().__init__()
        self.name = model.name
        self.image_encoder, self.mask_decoder = model.image_encoder, channels_last(model.mask_decoder)
        self.prompt_encoder = with_map_embeddings(model.prompt_encoder)
        self.volume_decoder, self.state = None, model.state
        if model.volume_decoder is not None:
            self.volume_decoder = for_one_object(model.volume_decoder)

    def empty_state(self, count: int, like: Tensor) -> SliceState:
        """As `LightModel.empty_state`."""
        return self.volume_decoder.empty_state(count, like)

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """images (B, 3, S, S) in 0..1 -> embeddings (B, h, w, C), coarse to fine; see `LightModel.encode`."""
        return tuple(embedding.permute(0, 2, 3, 1) for embedding in self.image_encoder(images))

    def decode(self, embeddings: tuple[Tensor, ...], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, S, S) and predicted IoU (N,) of boxes (N, 4) on one image; see `LightModel.decode`."""
        decoded = self.mask_decoder(embeddings, self.prompt_encoder(boxes), boxes, None)
        return decoded.low_res_logits, decoded.iou

    def follow(
        self,
        embeddings: tuple[Tensor, ...],
        boxes: Tensor,
        place: Tensor,
        neighbours: Tensor,
        state: tuple[Tensor, ...],
    ) -> Followed:
        """Objects of N boxes on one slice of a volume; see `LightModel.follow`."""
        return self.volume_decoder(embeddings, boxes, place, neighbours, SliceState(*state))


class ChannelsLastDecoder(LightMaskDecoder):
    """A mask decoder of embeddings (B, h, w, C)."""

    def maps(self, embedding: Tensor) -> Tensor:
        return embedding.permute(0, 3, 1, 2)

    def pixels(self, embedding: Tensor) -> Tensor:
        return embedding.flatten(1, 2)

    def weighted_sum(self, weights: Tensor, features: Tensor) -> Tensor:
        size = features.shape[2:]
        return whole_sum(weights.unflatten(2, size) * features)


class OneObjectDecoder(ChannelsLastDecoder):
    """For one object at a time: its logits come `RUN` pixels of a row at once, those above before those below."""

    def draw(self, x: Tensor) -> Tensor:
        runs = x.permute(0, 2, 3, 1).unflatten(2, (-1, RUN)).flatten(3)  # (N, h, w / RUN, RUN * C)
        logits = self.logits(runs.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        rows = [half.flatten(2) for half in logits.chunk(2, dim=3)]
        return torch.stack(rows, dim=2).flatten(1, 2)


class OneObjectMemory(SliceMemory):
    """For one object at a time: its features are pooled by a window as large as they are.

    A reduction over both axes is refused by OpenVINO on ARM64. Over one axis, or as a matrix product, features that lie
    channels last would be moved for it.
    """

    def total(self, features: Tensor) -> Tensor:
        return whole_sum(features)

    def largest(self, features: Tensor) -> Tensor:
        return F.max_pool2d(features, features.shape[2:]).flatten(1)


class ReadElsewhereToo(nn.Module):
    """A quantized layer whose input, never negative, is needed as it is too.

    OpenVINO quantizes such an input in an operation of its own: in float32, laid out otherwise and back again. Behind
    an operation that changes nothing it is rounded in passing.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.abs())


def whole_sum(features: Tensor) -> Tensor:
    """Sums over the pixels of features (N, C, h, w): (N, C)."""
    size = features.shape[2:]
    return F.avg_pool2d(features, size).flatten(1) * size.numel()


def channels_last(decoder: LightMaskDecoder) -> LightMaskDecoder:
    decoder = copy.deepcopy(decoder)
    decoder.__class__ = ChannelsLastDecoder
    round_in_passing(decoder, read_elsewhere_too(decoder))
    return decoder


def read_elsewhere_too(decoder: LightMaskDecoder) -> list[str]:
    """Names of the layers whose inputs a shortcut reads too, and of the last, which takes the decoder's features."""
    blocks = [name for name, module in decoder.named_modules() if isinstance(module, ResidualConvBlock)]
    return [*(f"{name}.conv1" for name in blocks), f"ups.{len(decoder.ups) - 1}"]


def round_in_passing(owner: nn.Module, names: Iterable[str]) -> None:
    """Have the inputs of these layers rounded behind an operation, in place, where they are rounded at all."""
    for name in names:
        layer = owner.get_submodule(name)
        if any(isinstance(part, qnn.QuantConv2d) for part in layer.modules()):
            owner.set_submodule(name, ReadElsewhereToo(layer))


def for_one_object(decoder: VolumeDecoder) -> VolumeDecoder:
    decoder = copy.deepcopy(decoder)
    decoder.prompt_encoder = with_map_embeddings(decoder.prompt_encoder)
    decoder.mask_decoder.__class__ = OneObjectDecoder
    round_in_passing(decoder.mask_decoder, read_elsewhere_too(decoder.mask_decoder))
    # Of each pixel come (above, below) x (left, right); of a run, (above, below) x pixels x (left, right).
    order = torch.arange(4 * RUN).unflatten(0, (RUN, 2, 2)).transpose(0, 1).flatten()
    decoder.mask_decoder.logits = on_runs(decoder.mask_decoder.logits, RUN, order)
    decoder.slice_memory.__class__ = OneObjectMemory
    round_in_passing(decoder.slice_memory, [f"adds.{level}" for level in range(len(decoder.slice_memory.adds))])
    decoder.slice_memory.key = OnChannelsLast(decoder.slice_memory.key)
    return decoder


class OnChannelsLast(nn.Module):
    """A pointwise convolution of maps that come channels last: (B, h, w, C) -> (B, C', h, w)."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.linear = nn.Linear(conv.in_channels, conv.out_channels)
        self.linear.weight = nn.Parameter(conv.weight.detach().flatten(1))
        self.linear.bias = nn.Parameter(conv.bias.detach())

    def forward(self, maps: Tensor) -> Tensor:
        return self.linear(maps).permute(0, 3, 1, 2)


def with_map_embeddings(encoder: BoxPromptEncoder) -> BoxPromptEncoder:
    """A copy of a prompt encoder that embeds the distances along each axis as maps one pixel high or wide."""
    encoder = copy.deepcopy(encoder)
    for embeddings in (encoder.x_embeddings, encoder.y_embeddings):
        for level, axis in enumerate(embeddings):
            embeddings[level] = MapAxisEmbedding(axis)
    return encoder


class MapAxisEmbedding(nn.Module):
    def __init__(self, axis: AxisEmbedding):
        super().__init__()
        self.hidden, self.out = on_maps(axis.hidden), on_maps(axis.out)

    def forward(self, distances: Tensor) -> Tensor:
        """As AxisEmbedding.forward."""
        return self.out(F.relu(self.hidden(distances)))


def on_maps(conv: nn.Conv1d) -> nn.Conv2d:
    """A pointwise convolution of sequences, for maps."""
    pointwise = nn.Conv2d(conv.in_channels, conv.out_channels, 1)
    pointwise.weight = nn.Parameter(conv.weight.detach()[..., None])
    pointwise.bias = nn.Parameter(conv.bias.detach())
    return pointwise
