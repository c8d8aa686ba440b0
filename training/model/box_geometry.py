"""Where pixels lie relative to boxes: distances to the sides, and how much of a pixel is inside.

A coordinate is held as two numbers, whole pixels and the rest, (..., 2). Runtimes that compute in bfloat16 round
numbers between 128 and 256 to whole pixels; whole pixels and small differences they keep, so only those occur here.
"""

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


def axis_distances(low: Tensor, high: Tensor, size: int, stride: int) -> Tensor:
    """Signed distances of the pixel centres of both axes to the two sides of each box.

    Positive inside. Each distance comes twice, clipped to -1..1: in box sides (where in the box am I?) and in units of
    eight pixels of this level (how near is the border?).

    Args:
        low, high: (N, 2, 2), see `split_coordinates`.
        size: pixels of the level along an axis.
        stride: input pixels per pixel of the level.

    Returns:
        (N, 2 axes, 4, size).
    """
    centres = (torch.arange(size, device=low.device, dtype=torch.float32) + 0.5) * stride
    distances = torch.stack([beyond(centres, low), -beyond(centres, high)], dim=2)
    in_sides = distances / sides(low, high).clamp(min=1.0)[:, :, None]
    return torch.cat([in_sides, distances / (8.0 * stride)], dim=2).clamp(-1.0, 1.0)


def box_coverage(low: Tensor, high: Tensor, size: int, stride: int, scale: float = 1.0) -> Tensor:
    """Part of each pixel that lies in the box, scaled about its centre: (N, size, size) in 0..1."""
    starts = torch.arange(size, device=low.device, dtype=torch.float32) * stride
    growth = sides(low, high) * ((scale - 1) / 2)
    after_low = ((beyond(starts, low) + growth) / stride + 1).clamp(0.0, 1.0)
    after_high = ((beyond(starts, high) - growth) / stride + 1).clamp(0.0, 1.0)
    on_axes = after_low - after_high  # (N, 2, size)
    return on_axes[:, 1, :, None] * on_axes[:, 0, None, :]


def pooling_weights(low: Tensor, high: Tensor, size: int, stride: int) -> Tensor:
    """Weights of the means over the middle of the box, the box and the ring around it: (N, 3, size * size).

    Each row sums to one, or is zero where its region lies outside the image.
    """
    box = box_coverage(low, high, size, stride)
    core = box_coverage(low, high, size, stride, CORE_SCALE)
    ring = box_coverage(low, high, size, stride, RING_SCALE) - box
    weights = torch.stack([core, box, ring], dim=1).flatten(2)
    return weights / weights.sum(dim=2, keepdim=True).clamp(min=1e-3)
