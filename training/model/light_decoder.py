"""Box prompt encoder and mask decoder of the light model: coarse to fine, conditioned on the box at every level."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.model.box_geometry import axis_distances, pooling_weights, split_coordinates
from training.model.light_encoder import DepthwiseBlock, ResidualConvBlock, conv_bn
from training.model.slice_memory import DecoderContext


class AxisEmbedding(nn.Module):
    """Distances along one axis -> channels. A box's distance maps are constant along the other axis, so the maps are
    embedded in one dimension and spread over the plane only when they are added; the ReLU after the sum can then tell
    what is inside on both axes."""

    def __init__(self, width: int, hidden: int = 32) -> None:
        super().__init__()
        self.hidden = nn.Conv1d(4, hidden, 1)
        self.out = nn.Conv1d(hidden, width, 1)

    def forward(self, distances: Tensor) -> Tensor:
        """(N, 4, 1, size) or (N, 4, size, 1) -> (N, width, 1, size) or (N, width, size, 1)."""
        embedding = self.out(F.relu(self.hidden(distances.flatten(2))))
        return embedding.unflatten(2, distances.shape[2:])


class BoxPromptEncoder(nn.Module):
    """Boxes -> one prompt embedding per decoder level, as two addends: one along the x axis, one along the y axis."""

    def __init__(self, widths: tuple[int, ...], strides: tuple[int, ...], input_size: int) -> None:
        super().__init__()
        self.strides = strides
        self.input_size = input_size
        self.x_embeddings = nn.ModuleList(AxisEmbedding(width) for width in widths)
        self.y_embeddings = nn.ModuleList(AxisEmbedding(width) for width in widths)

    def forward(self, boxes: Tensor) -> list[tuple[Tensor, Tensor]]:
        """boxes float32 (N, 4) xyxy in input pixels -> per level (N, width, 1, S/stride), (N, width, S/stride, 1)."""
        low, high = split_coordinates(boxes)
        prompts = []
        for level, distances in enumerate(axis_distances(low, high, self.input_size, self.strides)):
            x = self.x_embeddings[level](distances[:, 0, :, None, :])
            y = self.y_embeddings[level](distances[:, 1, :, :, None])
            prompts.append((x, y))
        return prompts


class Decoded(NamedTuple):
    """What the mask decoder makes of N boxes.

    low_res_logits: (N, S, S). iou: (N,) predicted IoU of each mask with the object, 0..1.
    features: (N, C, S/4, S/4), of the last level with blocks. condition: (N, hidden), pooled from the image.
    """

    low_res_logits: Tensor
    iou: Tensor
    features: Tensor
    condition: Tensor


class LightMaskDecoder(nn.Module):
    """Embeddings and prompts -> mask logits.

    A level adds what comes from the coarser level, its image embedding and its prompt, is scaled and shifted by what
    was pooled from the image inside and around the box (FiLM), and goes through its blocks. The finest level, which
    only draws the border, is neither scaled nor has blocks: it is the dearest to keep in memory.

    Args:
        widths: channels of the levels, coarse to fine; equal to the embeddings' channels.
        strides: input pixels per pixel of the levels.
        depths: blocks of all levels but the finest. Those at stride 4 are worth most: the coarse levels have only their
            scales and shifts, and leave it to the image encoder to see far.
        pooled_levels: levels whose embeddings are pooled for the scales and shifts; the last is that at stride 4.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int],
        strides: tuple[int, int, int, int],
        depths: tuple[int, int, int] = (0, 0, 2),
        pooled_levels: tuple[int, ...] = (1, 2),
        expansion: int = 2,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.widths = widths
        self.strides = strides
        self.pooled_levels = pooled_levels
        self.pooled = nn.Linear(3 * sum(widths[level] for level in pooled_levels), hidden)
        self.film = nn.Linear(hidden, 2 * sum(widths[:-1]))
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(ResidualConvBlock(width) if stride <= 4 else DepthwiseBlock(width, expansion) for _ in range(depth))
            )
            for width, stride, depth in zip(widths, strides, depths, strict=False)
        )
        self.ups = nn.ModuleList(conv_bn(a, b, 1) for a, b in pairwise(widths))
        self.fine = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        self.logits = nn.Conv2d(widths[-1], 4, 3, padding=1)
        self.iou_hidden = nn.Linear(widths[-2] + hidden, hidden)
        self.iou = nn.Linear(hidden, 1)

    def forward(
        self,
        embeddings: tuple[Tensor, ...],
        prompts: list[tuple[Tensor, Tensor]],
        boxes: Tensor,
        image_index: Tensor | None,
        context: DecoderContext | None = None,
    ) -> Decoded:
        """Decode one mask per box.

        Args:
            embeddings: (B, C, h, w) per level, coarse to fine.
            prompts: (N, C, 1, w) and (N, C, h, 1) per level.
            boxes: float32 (N, 4) xyxy in input pixels.
            image_index: int64 (N,), the image of each box; None when B == 1.
            context: what is known from other slices of a volume, where there is any.
        """
        low, high = split_coordinates(boxes)
        maps = [self.maps(embedding) for embedding in embeddings]
        size, strides = maps[0].shape[-1] * self.strides[0], [self.strides[level] for level in self.pooled_levels]
        weights = [part.to(maps[0].dtype) for part in pooling_weights(low, high, size, strides)]
        pooled = self.pooled(self._pool(embeddings, weights, image_index))
        condition = F.relu(pooled if context is None else pooled + context.vector)
        films = self.film(condition)[:, :, None, None].split([2 * width for width in self.widths[:-1]], dim=1)
        inputs = [
            (embedding if image_index is None else embedding[image_index]) + x + y
            for embedding, (x, y) in zip(maps, prompts, strict=True)
        ]
        if context is not None:
            inputs = [*(a + b for a, b in zip(inputs, context.maps, strict=False)), inputs[-1]]
        coarse = 0.0
        for level, film in enumerate(films):
            scale, shift = film.chunk(2, dim=1)
            features = self.blocks[level](F.relu(torch.addcmul(shift, inputs[level] + coarse, 1 + scale)))
            coarse = F.interpolate(self.ups[level](features), scale_factor=2, mode="nearest")
        x = F.relu(self.fine(F.relu(inputs[-1] + coarse)))
        logits = self.draw(x)

        inside_mean = self.weighted_sum(weights[-1][:, 1:2], features)
        iou = self.iou(F.relu(self.iou_hidden(torch.cat([inside_mean, condition], dim=1))))[:, 0]
        return Decoded(logits, iou.sigmoid(), features, condition)

    def maps(self, embedding: Tensor) -> Tensor:
        """An embedding as a map (B, C, h, w), which it is here; in the form for export it is not."""
        return embedding

    def pixels(self, embedding: Tensor) -> Tensor:
        """An embedding as the pixels of images: (B, h * w, C)."""
        return embedding.flatten(2).transpose(1, 2)

    def weighted_sum(self, weights: Tensor, features: Tensor) -> Tensor:
        """Sums of features (N, C, h, w) over pixels that weigh (N, 1, h * w): (N, C)."""
        return (weights @ features.flatten(2).transpose(1, 2))[:, 0]

    def draw(self, x: Tensor) -> Tensor:
        """Features of the finest level (N, C, S/2, S/2) -> logits (N, S, S), four of each pixel."""
        return F.pixel_shuffle(self.logits(x), 2).flatten(1, 2)

    def shift_logits(self, by: float) -> None:
        """Add a number to all logits the model will ever make: moves the threshold at which they are cut."""
        with torch.no_grad():
            self.logits.bias += by

    def _pool(self, embeddings: tuple[Tensor, ...], weights: list[Tensor], image_index: Tensor | None) -> Tensor:
        """Means of the image embeddings over the middle of each box, the box and its ring: (N, 3 * sum of widths)."""
        pooled = []
        for level, of_boxes in zip(self.pooled_levels, weights, strict=True):
            pixels = self.pixels(embeddings[level])
            # Without an index all boxes are on one image: one matrix product pools for all of them.
            pixels = pixels[0] if image_index is None else pixels[image_index]
            pooled.append((of_boxes @ pixels).flatten(1))
        return torch.cat(pooled, dim=1)
