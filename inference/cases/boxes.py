"""Box prompts: checking them, and repairing what is safe to repair."""

from typing import NamedTuple

import numpy as np

from ..arrays import Array, BoolArray, Float64Array

# Columns of the common form of a box, 2D or 3D: x_min, y_min, z_min, x_max, y_max, z_max.
LOW, HIGH = slice(0, 3), slice(3, 6)
MOST_NAMED = 5  # a message names this many boxes at most


def common_form(boxes: Array) -> Float64Array:
    """Boxes (N, 4) or (N, 6) as (N, 6) float64; a 2D box becomes a 3D box on slice 0."""
    boxes = boxes.astype(np.float64)
    if boxes.shape[1] == 6:
        return boxes
    z = np.zeros(len(boxes))
    return np.stack([boxes[:, 0], boxes[:, 1], z, boxes[:, 2], boxes[:, 3], z], axis=1)


class Repaired(NamedTuple):
    """Boxes of which each is either a valid box of the image or marked as unusable.

    Attributes:
        boxes: (N, 6) in the common form, slices whole numbers; zeros where a box is unusable.
        usable: (N,) whether an object can be segmented from the box.
        warnings: what was repaired, one line per kind of repair.
        problems: one line per unusable box, with the reason.
    """

    boxes: Float64Array
    usable: BoolArray
    warnings: list[str]
    problems: list[str]


def repair(boxes: Float64Array, shape: tuple[int, int, int]) -> Repaired:
    """Make every box a valid box of the image, where that is safe; a box where it is not costs itself only.

    Coordinates are voxel indices, and the last voxel belongs to the box: it reaches from the near edge of its first
    voxel to the far edge of its last, one further on. So `x_min == x_max` is a box one pixel wide, and a box is outside
    only where no part of that lies in the image. Swapped corners are reordered. What sticks out is clipped, to 0..W and
    0..H (pixel edges are taken for indices by many, so that the far edge itself is let be) and to slices 0..D-1. An
    end between two slices moves to the nearest, from halfway outward, so that the slice belongs to the box.

    Args:
        boxes: (N, 6) in the common form, voxel indices, any values.
        shape: (D, H, W) of the image.
    """
    finite: BoolArray = np.all(np.isfinite(boxes), axis=1)
    boxes = np.where(finite[:, np.newaxis], boxes, 0)
    low, high = np.minimum(boxes[:, LOW], boxes[:, HIGH]), np.maximum(boxes[:, LOW], boxes[:, HIGH])
    swapped = np.any(boxes[:, LOW] > boxes[:, HIGH], axis=1)
    between = (low[:, 2] % 1 != 0) | (high[:, 2] % 1 != 0)
    low[:, 2], high[:, 2] = np.ceil(low[:, 2] - 0.5), np.floor(high[:, 2] + 0.5)

    depth, height, width = shape
    outside = np.any((high <= -1) | (low >= [width, height, depth]), axis=1)
    limit = np.array([width, height, depth - 1], dtype=np.float64)
    repaired = np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)], axis=1)
    clipped = np.any(repaired != np.concatenate([low, high], axis=1), axis=1)

    usable = finite & ~outside
    repaired[~usable] = 0
    repairs = {
        "swapped corners, reordered": swapped & usable,
        "began or ended between slices, moved to the nearest": between & usable,
        "stuck out of the image, clipped": clipped & usable,
    }
    warnings = [f"{_name(chosen)} {what}" for what, chosen in repairs.items() if chosen.any()]
    where = f"is outside the image (width {width}, height {height}, slices {depth})"
    problems = [
        f"box {i + 1} {where if finite[i] else 'holds NaN or infinity'}" for i in np.flatnonzero(~usable).tolist()
    ]
    return Repaired(repaired, usable, warnings, problems)


def pixel_edges(boxes: Float64Array, height: int, width: int) -> Float64Array:
    """Boxes (N, 4) `x_min, y_min, x_max, y_max` of voxel indices up to the far edge of their last pixel, which belongs
    to them; not beyond the image."""
    return np.concatenate([boxes[:, :2], np.minimum(boxes[:, 2:] + 1, [width, height])], axis=1)


def _name(chosen: BoolArray) -> str:
    """`box 3` or `boxes 1, 2, 7`, counted from 1 as the labels in `segs` are."""
    numbers = [str(i + 1) for i in np.flatnonzero(chosen)]
    more = f" and {len(numbers) - MOST_NAMED} more" if len(numbers) > MOST_NAMED else ""
    return ("box " if len(numbers) == 1 else "boxes ") + ", ".join(numbers[:MOST_NAMED]) + more
