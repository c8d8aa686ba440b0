"""Where pixels lie relative to boxes: distances to the sides, and how much of a pixel is inside.

A coordinate is held as two numbers, whole pixels and the rest, (..., 2). Runtimes that compute in bfloat16 round
numbers between 128 and 256 to whole pixels; whole pixels and small differences they keep, so only those occur here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

RING_SCALE = 1.5  # side of the surroundings that are pooled, in box sides
CORE_SCALE = 0.5  # side of the middle part that is pooled: nearly always object


def split_coordinates(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes float32 (N, 4) xyxy -> their low and high corners, each (N, 2 axes, 2) with the axes in the order x, y.

    `floor` and the subtraction must stay the first operations on the boxes: OpenVINO rounds a model's input to bfloat16
    for any others.
    """
    whole = boxes.floor()
    corners = torch.stack([whole, boxes - whole], dim=2)
    return corners[:, :2], corners[:, 2:]


def beyond(positions: Tensor, coordinates: Tensor) -> Tensor:
    """How far `positions` (size,) lie beyond `coordinates` (N, 2, 2): (N, 2, size), input pixels."""
    return (positions - coordinates[:, :, :1]) - coordinates[:, :, 1:]


def sides(low: Tensor, high: Tensor) -> Tensor:
    """Width and height of boxes: (N, 2, 1)."""
    return (high - low).sum(dim=2, keepdim=True)


def axis_distances(low: Tensor, high: Tensor, size: int, strides: Sequence[int]) -> list[Tensor]:
    """Signed distances of the pixel centres of both axes to the two sides of each box, on maps of several strides.

    Positive inside. Each distance comes twice, clipped to -1..1: in box sides (where in the box am I?) and in units of
    eight pixels of the map (how near is the border?).

    Args:
        low, high: (N, 2, 2), see `split_coordinates`.
        size: side of the encoder's input, pixels.
        strides: input pixels per pixel of each map.

    Returns:
        Of each map, (N, 2 axes, 4, size / stride).
    """
    starts, steps = pixels_of(size, strides, low.device)
    centres = starts + steps / 2
    distances = torch.stack([beyond(centres, low), -beyond(centres, high)], dim=2)
    in_sides = distances / sides(low, high).clamp(min=1.0)[:, :, None]
    both = torch.cat([in_sides, distances / (8.0 * steps)], dim=2).clamp(-1.0, 1.0)
    return list(both.split([size // stride for stride in strides], dim=3))


def pixels_of(size: int, strides: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the pixels of maps of several strides start along an axis, and their sides, input pixels: (P,) each, of one
    map after the other. All maps go through the same few operations."""
    starts = [torch.arange(0, size, stride, device=device, dtype=torch.float32) for stride in strides]
    steps = [torch.full_like(part, stride) for part, stride in zip(starts, strides, strict=True)]
    return torch.cat(starts), torch.cat(steps)


def box_coverages(
    low: Tensor, high: Tensor, size: int, strides: Sequence[int], scales: Sequence[float]
) -> list[Tensor]:
    """Part of each pixel that lies in the box, scaled about its centre by each of some factors.

    Returns:
        Of a map of each stride, (N, scales, size / stride, size / stride) in 0..1.
    """
    starts, steps = pixels_of(size, strides, low.device)
    growth = torch.stack([sides(low, high) * ((scale - 1) / 2) for scale in scales], dim=1)
    after_low = ((beyond(starts, low)[:, None] + growth) / steps + 1).clamp(0.0, 1.0)
    after_high = ((beyond(starts, high)[:, None] - growth) / steps + 1).clamp(0.0, 1.0)
    on_axes = (after_low - after_high).split([size // stride for stride in strides], dim=3)  # (N, scales, 2 axes, size)
    return [part[:, :, 1, :, None] * part[:, :, 0, None, :] for part in on_axes]


def pooling_weights(low: Tensor, high: Tensor, size: int, strides: Sequence[int]) -> list[Tensor]:
    """Weights of the means over the middle of the box, the box and the ring around it.

    Each row sums to one, or is zero where its region lies outside the image.

    Returns:
        Of a map of each stride, (N, 3, pixels of the map).
    """
    weights = []
    for coverage in box_coverages(low, high, size, strides, (CORE_SCALE, 1.0, RING_SCALE)):
        core, box, around = coverage.unbind(dim=1)
        regions = torch.stack([core, box, around - box], dim=1).flatten(2)
        weights.append(regions / regions.sum(dim=2, keepdim=True).clamp(min=1e-3))
    return weights
