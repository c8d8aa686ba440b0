"""Box prompts from masks: tight boxes and the errors a person makes drawing them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class BoxConfig:
    """Boxes of a batch.

    per_image: at most this many boxes on one image.
    min_pixels: objects with fewer px in the view are not asked for.
    min_visible: nor are those of which less than this share is in the view.
    pixel_share: share of boxes whose sides move outward by up to `pixels` input px at 256 (QMedSAM); the sides of the
        others move outward by `relative_low` to `relative_high` of the box's width or height (as the challenge's boxes
        do); negative values move inward and make harder boxes.
    """

    per_image: int = 4
    min_pixels: float = 16
    min_visible: float = 0.5
    pixel_share: float = 0.2
    pixels: float = 10
    relative_low: float = 0.0
    relative_high: float = 0.1


@dataclass(frozen=True)
class BoxErrors:
    """How the sides of N boxes move: `outward_px` and `outward_relative` (N, 4), `short` (N, 2) in 0..1."""

    outward_px: np.ndarray
    outward_relative: np.ndarray
    short: np.ndarray


def draw_box_errors(rng: np.random.Generator, config: BoxConfig, count: int, input_size: int) -> BoxErrors:
    """Random errors for `count` boxes."""
    in_pixels = rng.random((count, 1)) < config.pixel_share
    position = rng.random((count, 4))
    relative = config.relative_low + position * (config.relative_high - config.relative_low)
    return BoxErrors(
        outward_px=np.where(in_pixels, position * config.pixels * input_size / 256, 0).astype(np.float32),
        outward_relative=np.where(in_pixels, 0, relative).astype(np.float32),
        short=rng.random((count, 2)).astype(np.float32),
    )


def tight_boxes(masks: Tensor) -> Tensor:
    """Boxes of masks (N, S, S) bool as (N, 4) float32 xyxy, pixel edges; an empty mask gives a box of no meaning."""
    size = masks.shape[-1]
    columns, rows = masks.any(dim=1).byte(), masks.any(dim=2).byte()
    low = torch.stack([columns.argmax(dim=1), rows.argmax(dim=1)], dim=1)
    high = size - torch.stack([columns.flip(1).argmax(dim=1), rows.flip(1).argmax(dim=1)], dim=1)
    return torch.cat([low, high], dim=1).float()


def with_errors(boxes: Tensor, errors: BoxErrors, pixel_sizes: Tensor, limits: Tensor) -> Tensor:
    """Move the sides of boxes as a person would draw them.

    A box given in whole image pixels ends at its last pixel, not at that pixel's far edge; how much that is in input
    pixels depends on the magnification. `short` takes between none and all of it off the right and the lower side.

    Args:
        boxes: (N, 4) float32 xyxy.
        pixel_sizes: (N,) size of an image pixel in input px.
        limits: (N, 4) xyxy of the image in the input; boxes are clipped to it.
    """
    outward_px, relative, short = (
        torch.from_numpy(values).to(boxes.device)
        for values in (errors.outward_px, errors.outward_relative, errors.short)
    )
    sides = boxes[:, 2:] - boxes[:, :2]
    outward = outward_px + relative * sides.repeat(1, 2)
    short_px = torch.minimum(short * pixel_sizes[:, None], sides - 1)
    low = boxes[:, :2] - outward[:, :2]
    high = boxes[:, 2:] - short_px + outward[:, 2:]
    return torch.cat([torch.maximum(low, limits[:, :2]), torch.minimum(high, limits[:, 2:])], dim=1)
