"""Box prompt encoder and mask decoder of the light model: coarse to fine, conditioned on the box at every level."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.model.light_encoder import DepthwiseBlock, ResidualConvBlock, conv_bn

RING_SCALE = 1.5  # side of the surroundings that are pooled, in box sides
CORE_SCALE = 0.5  # side of the middle part that is pooled: nearly always object


def axis_distances(low: Tensor, high: Tensor, size: int, stride: int) -> Tensor:
    """Signed distances of the pixel centres of one axis to the two sides of each box.

    Positive inside. Each distance comes twice, clipped to -1..1: in box sides (where in the box am I?) and in units of
    eight pixels of this level (how near is the border?).

    Args:
        low, high: float32 (N,), the box on this axis, in input pixels.
        size: pixels of the level along the axis.
        stride: input pixels per pixel of the level.

    Returns:
        float32 (N, 4, size).
    """
    centres = (torch.arange(size, device=low.device, dtype=torch.float32) + 0.5) * stride
    distances = torch.stack([centres - low[:, None], high[:, None] - centres], dim=1)
    side = (high - low).clamp(min=1.0)[:, None, None]
    return torch.cat([distances / side, distances / (8.0 * stride)], dim=1).clamp(-1.0, 1.0)


def axis_coverage(low: Tensor, high: Tensor, size: int, stride: int) -> Tensor:
    """Part of each pixel of one axis that lies between low and high.

    Args:
        low, high: float32 (N,), in input pixels.

    Returns:
        float32 (N, size) in 0..1.
    """
    edges = torch.arange(size, device=low.device, dtype=torch.float32) * stride
    overlap = torch.minimum(high[:, None], edges + stride) - torch.maximum(low[:, None], edges)
    return overlap.clamp(min=0.0) / stride


def box_coverage(boxes: Tensor, size: int, stride: int, scale: float = 1.0) -> Tensor:
    """Part of each pixel that lies in the box, scaled about its centre: float32 (N, size, size) in 0..1."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) * (scale / 2)
    low, high = centre - half, centre + half
    x = axis_coverage(low[:, 0], high[:, 0], size, stride)
    y = axis_coverage(low[:, 1], high[:, 1], size, stride)
    return y[:, :, None] * x[:, None, :]


def pooling_weights(boxes: Tensor, size: int, stride: int) -> Tensor:
    """Weights of the means over the middle of the box, the box and the ring around it: float32 (N, 3, size * size).

    Each row sums to one, or is zero where its region lies outside the image.
    """
    box = box_coverage(boxes, size, stride)
    core = box_coverage(boxes, size, stride, CORE_SCALE)
    ring = box_coverage(boxes, size, stride, RING_SCALE) - box
    weights = torch.stack([core, box, ring], dim=1).flatten(2)
    return weights / weights.sum(dim=2, keepdim=True).clamp(min=1e-3)


class AxisEmbedding(nn.Module):
    """Distances along one axis -> channels. A box's distance maps are constant along the other axis, so the maps are
    embedded in one dimension and spread over the plane only when they are added; the ReLU after the sum can then tell
    what is inside on both axes."""

    def __init__(self, width: int, hidden: int = 32) -> None:
        super().__init__()
        self.hidden = nn.Conv1d(4, hidden, 1)
        self.out = nn.Conv1d(hidden, width, 1)

    def forward(self, distances: Tensor) -> Tensor:
        return self.out(F.relu(self.hidden(distances)))  # (N, 4, size) -> (N, width, size)


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
        prompts = []
        for level, stride in enumerate(self.strides):
            size = self.input_size // stride
            x = self.x_embeddings[level](axis_distances(boxes[:, 0], boxes[:, 2], size, stride))
            y = self.y_embeddings[level](axis_distances(boxes[:, 1], boxes[:, 3], size, stride))
            prompts.append((x[:, :, None, :], y[:, :, :, None]))
        return prompts


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
        pooled_levels: levels whose embeddings are pooled for the scales and shifts.
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
    ) -> tuple[Tensor, Tensor]:
        """Decode one mask per box.

        Args:
            embeddings: (B, C, h, w) per level, coarse to fine.
            prompts: (N, C, 1, w) and (N, C, h, 1) per level.
            boxes: float32 (N, 4) xyxy in input pixels.
            image_index: int64 (N,), the image of each box; None when B == 1.

        Returns:
            low_res_logits (N, S, S) and the predicted IoU of each mask with the object (N,), in 0..1.
        """
        condition = F.relu(self.pooled(self._pool(embeddings, boxes, image_index)))
        films = self.film(condition)[:, :, None, None].split([2 * width for width in self.widths[:-1]], dim=1)
        inputs = [
            (embedding if image_index is None else embedding[image_index]) + (x + y)
            for embedding, (x, y) in zip(embeddings, prompts, strict=True)
        ]
        coarse = 0.0
        for level, film in enumerate(films):
            scale, shift = film.chunk(2, dim=1)
            features = self.blocks[level](F.relu(torch.addcmul(shift, inputs[level] + coarse, 1 + scale)))
            coarse = F.interpolate(self.ups[level](features), scale_factor=2, mode="nearest")
        x = F.relu(self.fine(F.relu(inputs[-1] + coarse)))
        logits = F.pixel_shuffle(self.logits(x), 2)[:, 0]  # (N, 4, S/2, S/2) -> (N, S, S)

        inside = pooling_weights(boxes, features.shape[-1], self.strides[-2])[:, 1:2].to(features.dtype)
        inside_mean = (inside @ features.flatten(2).transpose(1, 2))[:, 0]
        iou = self.iou(F.relu(self.iou_hidden(torch.cat([inside_mean, condition], dim=1))))[:, 0]
        return logits, iou.sigmoid()

    def _pool(self, embeddings: tuple[Tensor, ...], boxes: Tensor, image_index: Tensor | None) -> Tensor:
        """Means of the image embeddings over the middle of each box, the box and its ring: (N, 3 * sum of widths)."""
        pooled = []
        for level in self.pooled_levels:
            embedding = embeddings[level]
            weights = pooling_weights(boxes, embedding.shape[-1], self.strides[level]).to(embedding.dtype)
            pixels = embedding.flatten(2).transpose(1, 2)  # (B, h * w, C)
            # Without an index all boxes are on one image: one matrix product pools for all of them.
            pixels = pixels[0] if image_index is None else pixels[image_index]
            pooled.append((weights @ pixels).flatten(1))
        return torch.cat(pooled, dim=1)
