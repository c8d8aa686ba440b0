"""The light model arranged for export: embeddings handed over channels last, prompts as maps from the start.

OpenVINO lays out a sum as most of its inputs are. Embeddings and prompts that arrive channels first make all sums of
the decoder so, and put a reorder before and behind each convolution: a quarter of the decoder's time.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from training.model.box_geometry import axis_distances, split_coordinates
from training.model.light import LightModel
from training.model.light_decoder import AxisEmbedding, BoxPromptEncoder


class ExportedLight(nn.Module):
    def __init__(self, model: LightModel):
        super().__init__()
        self.image_encoder, self.mask_decoder = model.image_encoder, model.mask_decoder
        self.prompt_encoder = MapPromptEncoder(model.prompt_encoder)

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """images (B, 3, S, S) in 0..1 -> embeddings (B, h, w, C), coarse to fine; see `LightModel.encode`."""
        return tuple(embedding.permute(0, 2, 3, 1) for embedding in self.image_encoder(images))

    def decode(self, embeddings: tuple[Tensor, ...], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, S, S) and predicted IoU (N,) of boxes (N, 4) on one image; see `LightModel.decode`."""
        channels_first = tuple(embedding.permute(0, 3, 1, 2) for embedding in embeddings)
        return self.mask_decoder(channels_first, self.prompt_encoder(boxes), boxes, None)


class MapPromptEncoder(nn.Module):
    """BoxPromptEncoder on maps one pixel high or wide."""

    def __init__(self, encoder: BoxPromptEncoder):
        super().__init__()
        self.strides, self.input_size = encoder.strides, encoder.input_size
        self.x_embeddings = nn.ModuleList(MapAxisEmbedding(axis) for axis in encoder.x_embeddings)
        self.y_embeddings = nn.ModuleList(MapAxisEmbedding(axis) for axis in encoder.y_embeddings)

    def forward(self, boxes: Tensor) -> list[tuple[Tensor, Tensor]]:
        """As BoxPromptEncoder.forward."""
        low, high = split_coordinates(boxes)
        prompts = []
        for level, stride in enumerate(self.strides):
            distances = axis_distances(low, high, self.input_size // stride, stride)
            x = self.x_embeddings[level](distances[:, 0, :, None, :])
            y = self.y_embeddings[level](distances[:, 1, :, :, None])
            prompts.append((x, y))
        return prompts


class MapAxisEmbedding(nn.Module):
    def __init__(self, axis: AxisEmbedding):
        super().__init__()
        self.hidden, self.out = on_maps(axis.hidden), on_maps(axis.out)

    def forward(self, distances: Tensor) -> Tensor:
        """(N, 4, 1, w) or (N, 4, h, 1) -> (N, width, 1, w) or (N, width, h, 1)."""
        return self.out(F.relu(self.hidden(distances)))


def on_maps(conv: nn.Conv1d) -> nn.Conv2d:
    """A pointwise convolution of sequences, for maps."""
    pointwise = nn.Conv2d(conv.in_channels, conv.out_channels, 1)
    pointwise.weight = nn.Parameter(conv.weight.detach()[..., None])
    pointwise.bias = nn.Parameter(conv.bias.detach())
    return pointwise
