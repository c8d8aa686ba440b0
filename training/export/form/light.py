"""The light model arranged for export: embeddings handed over channels last, prompts as maps from the start.

OpenVINO lays out a sum as most of its inputs are. Embeddings and prompts that arrive channels first make all sums of
the decoder so, and put a reorder before and behind each convolution: a quarter of the decoder's time.
"""

import copy

from torch import Tensor, nn
from torch.nn import functional as F

from training.model.light import LightModel
from training.model.light_decoder import AxisEmbedding, BoxPromptEncoder


class ExportedLight(nn.Module):
    def __init__(self, model: LightModel):
        super().__init__()
        self.image_encoder, self.mask_decoder = model.image_encoder, model.mask_decoder
        self.prompt_encoder = with_map_embeddings(model.prompt_encoder)

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """images (B, 3, S, S) in 0..1 -> embeddings (B, h, w, C), coarse to fine; see `LightModel.encode`."""
        return tuple(embedding.permute(0, 2, 3, 1) for embedding in self.image_encoder(images))

    def decode(self, embeddings: tuple[Tensor, ...], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, S, S) and predicted IoU (N,) of boxes (N, 4) on one image; see `LightModel.decode`."""
        channels_first = tuple(embedding.permute(0, 3, 1, 2) for embedding in embeddings)
        return self.mask_decoder(channels_first, self.prompt_encoder(boxes), boxes, None)


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
