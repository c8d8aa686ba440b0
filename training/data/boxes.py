"""Box prompts from masks: tight boxes and the errors a person makes drawing them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inference.model.metadata import BOX_CONVENTIONS, INDICES, PIXEL_EDGES


@dataclass(frozen=True)
class BoxConfig:
    """Boxes of a batch.

    convention: where the boxes end, as the model takes them (see `inference.model.metadata`); the trainer sets its
        model's.
    per_image: at most this many boxes on one image.
    min_pixels: objects with fewer px in the input are not asked for.
    min_visible: nor are those of which less than this share is in it.
    pixel_share: share of boxes whose sides move outward by up to `pixels` input px at 256 (QMedSAM); the sides of the
        others move outward by `relative_low` to `relative_high` of the box's width or height (as the challenge's boxes
        do); negative values move inward and make harder boxes.
    """

    convention: str = INDICES
    per_image: int = 4
    min_pixels: float = 16
    min_visible: float = 0.5
    pixel_share: float = 0.2
    pixels: float = 10
    relative_low: float = 0.0
    relative_high: float = 0.1

    def __post_init__(self) -> None:
        if self.convention not in BOX_CONVENTIONS:
            raise ValueError(f"box convention '{self.convention}': one of {', '.join(BOX_CONVENTIONS)} is needed")


@dataclass(frozen=True)
class BoxErrors:
    """How the sides of N boxes move: all (N, 4), positive outward: in input px, in box sides, and in image px (half a
    pixel at most: a case's boxes are whole numbers)."""

    outward_px: np.ndarray
    outward_relative: np.ndarray
    rounding: np.ndarray


def draw_box_errors(rng: np.random.Generator, config: BoxConfig, count: int, input_size: int) -> BoxErrors:
    """Random errors for `count` boxes."""
    in_pixels = rng.random((count, 1)) < config.pixel_share
    position = rng.random((count, 4))
    relative = config.relative_low + position * (config.relative_high - config.relative_low)
    return BoxErrors(
        outward_px=np.where(in_pixels, position * config.pixels * input_size / 256, 0).astype(np.float32),
        outward_relative=np.where(in_pixels, 0, relative).astype(np.float32),
        rounding=(rng.random((count, 4)) - 0.5).astype(np.float32),
    )


def tight_boxes(masks: Tensor) -> Tensor:
    """Boxes of masks (N, S, S) bool as (N, 4) float32 xyxy, pixel edges; an empty mask gives a box of no meaning."""
    size = masks.shape[-1]
    columns, rows = masks.any(dim=1).byte(), masks.any(dim=2).byte()
    low = torch.stack([columns.argmax(dim=1), rows.argmax(dim=1)], dim=1)
    high = size - torch.stack([columns.flip(1).argmax(dim=1), rows.flip(1).argmax(dim=1)], dim=1)
    return torch.cat([low, high], dim=1).float()


def with_errors(boxes: Tensor, errors: BoxErrors, pixel_sizes: Tensor, limits: Tensor, convention: str) -> Tensor:
    """Move the sides of boxes as a person would draw them, and end them where the model's convention does.

    Args:
        boxes: (N, 4) float32 xyxy, pixel edges.
        pixel_sizes: (N,) size of an image pixel in input px.
        limits: (N, 4) xyxy of the image in the input; boxes are clipped to it.
        convention: `INDICES` takes the last pixel off the right and the lower side; `PIXEL_EDGES` leaves it.

    Returns:
        (N, 4), each side at least one input pixel long.
    """
    outward_px, relative, rounding = (
        torch.from_numpy(values).to(boxes.device)
        for values in (errors.outward_px, errors.outward_relative, errors.rounding)
    )
    pixels = pixel_sizes[:, None]
    outward = outward_px + relative * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2) + rounding * pixels
    low = torch.maximum(boxes[:, :2] - outward[:, :2], limits[:, :2])
    high = torch.minimum(boxes[:, 2:] + outward[:, 2:], limits[:, 2:])
    return in_convention(torch.cat([low, high], dim=1), pixel_sizes, PIXEL_EDGES, convention)


def in_convention(boxes: Tensor, pixel_sizes: Tensor, given: str, wanted: str) -> Tensor:
    """Boxes that end where the convention `given` has it, ending where `wanted` does.

    Args:
        boxes: (N, 4) float32 xyxy, input px.
        pixel_sizes: (N,) size of an image pixel in input px.

    Returns:
        (N, 4), each side at least one input pixel long.
    """
    moved = int(wanted == PIXEL_EDGES) - int(given == PIXEL_EDGES)
    low, high = boxes[:, :2], boxes[:, 2:] + moved * pixel_sizes[:, None]
    return torch.cat([low, torch.maximum(high, low + 1)], dim=1)
