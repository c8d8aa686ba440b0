"""The boxes that a person would draw, from the ground truth: on one slice of each object of a volume."""

import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from inference.cases.case import Case

MARGIN = 0.05  # sides move outward by up to this share of the box's width or height


def with_drawn_boxes(case: Case, gts: np.ndarray, name: str) -> Case:
    """A volume with boxes drawn on one slice each, in the middle of those that it has; see `redrawn`."""
    middles = (case.boxes[:, 2] + case.boxes[:, 5]).astype(int) // 2
    return redrawn(case, gts, name, lambda index, mask, rng: draw_box(mask, int(middles[index]), rng))


def redrawn(
    case: Case, gts: np.ndarray, name: str, draw: Callable[[int, np.ndarray, np.random.Generator], np.ndarray]
) -> Case:
    """A case with drawn boxes in place of its own; the box of an object that the ground truth does not hold, which
    nobody could draw, is unusable.

    Args:
        gts: (D, H, W), or (H, W); label i is the object of the i-th box, from 1.
        name: of the case; together with an object's label, the seed of its box.
        draw: the box (6,) of an object, of its index, its mask, bool like `gts`, and a source of randomness.
    """
    boxes, usable = np.zeros_like(case.boxes), np.zeros_like(case.usable)
    for index in np.flatnonzero(case.usable).tolist():
        mask = gts == index + 1
        if mask.any():
            boxes[index], usable[index] = draw(index, mask, seeded(name, index + 1)), True
    return replace(case, boxes=boxes, usable=usable)


def draw_box(mask: np.ndarray, middle: int, rng: np.random.Generator) -> np.ndarray:
    """A box on one slice: tight around the object there, every side moved outward by a random 0 to 5 % of the box's
    width or height, rounded to whole pixels and clipped to the image.

    Args:
        mask: bool (D, H, W), not empty.
        middle: the slice to draw on; where it does not hold the object, the nearest that does, of two the lower.

    Returns:
        (6,) `x_min, y_min, z, x_max, y_max, z`, voxel indices; the last voxel belongs to the box.
    """
    held = np.flatnonzero(mask.any(axis=(1, 2)))
    z = held[np.argmin(np.abs(held - middle))]
    low, high = moved_outward(*corners(mask[z]), MARGIN, np.array(mask.shape[:0:-1]), rng)
    return np.array([*low, z, *high, z], float)


def moved_outward(
    low: np.ndarray, high: np.ndarray, margin: float, size: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a box whose sides are moved outward by a random 0 to `margin` of its width or height, rounded to
    whole pixels and clipped to the image.

    Args:
        low, high: (2,) `x, y`, whole numbers; the last pixel belongs to the box.
        size: (2,) width and height of the image.
    """
    margins = np.rint((high + 1 - low) * rng.uniform(0, margin, (2, 2))).astype(int)
    return np.maximum(low - margins[0], 0), np.minimum(high + margins[1], size - 1)


def seeded(name: str, number: int) -> np.random.Generator:
    """The source of randomness for the box of an object, of the name of its case and its number from 1."""
    return np.random.default_rng([zlib.crc32(name.encode()), number])


def corners(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last pixel of a mask, bool (H, W), not empty: two (2,) `x, y`."""
    pixels = np.argwhere(mask)[:, ::-1]
    return pixels.min(axis=0), pixels.max(axis=0)
