"""The light model arranged for export: embeddings handed over channels last, prompts as maps from the start.

OpenVINO lays out a sum as most of its inputs are. Embeddings and prompts that arrive channels first make all sums of
the decoder so, and put a reorder before and behind each convolution: a quarter of the decoder's time.
"""

import copy

from torch import Tensor, nn
from torch.nn import functional as F

from training.model.light import LightModel
from training.model.light_decoder import AxisEmbedding, BoxPromptEncoder
from training.model.slice_memory import SliceState
from training.model.volume_decoder import Followed


class ExportedLight(nn.Module):
    def __init__(self, model: LightModel):
        super().__init__()
        self.name = model.name
        self.image_encoder, self.mask_decoder = model.image_encoder, model.mask_decoder
        self.prompt_encoder = with_map_embeddings(model.prompt_encoder)
        self.volume_decoder, self.state, self.shared_state = None, model.state, model.shared_state
        if model.volume_decoder is not None:
            self.volume_decoder = copy.deepcopy(model.volume_decoder)
            self.volume_decoder.prompt_encoder = with_map_embeddings(model.volume_decoder.prompt_encoder)

    def empty_state(self, count: int, like: Tensor) -> SliceState:
        """As `LightModel.empty_state`, with what the objects share once."""
        state = self.volume_decoder.empty_state(count, like)
        return state._replace(keys=state.keys[:1])

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """images (B, 3, S, S) in 0..1 -> embeddings (B, h, w, C), coarse to fine; see `LightModel.encode`."""
        return tuple(embedding.permute(0, 2, 3, 1) for embedding in self.image_encoder(images))

    def decode(self, embeddings: tuple[Tensor, ...], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, S, S) and predicted IoU (N,) of boxes (N, 4) on one image; see `LightModel.decode`."""
        decoded = self.mask_decoder(channels_first(embeddings), self.prompt_encoder(boxes), boxes, None)
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
        return self.volume_decoder(channels_first(embeddings), boxes, place, neighbours, SliceState(*state))


def channels_first(embeddings: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """(B, h, w, C) -> (B, C, h, w)."""
    return tuple(embedding.permute(0, 3, 1, 2) for embedding in embeddings)


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
