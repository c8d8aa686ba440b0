"""Box prompts: checking them, repairing what is safe to repair, and flattening 3D boxes onto slices."""

import numpy as np

from ..arrays import Array, BoolArray, Float64Array
from ..errors import CaseError

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


def repair(boxes: Float64Array, shape: tuple[int, int, int]) -> tuple[Float64Array, list[str]]:
    """Make every box a valid box of the image, where that is safe.

    Swapped corners are reordered; a box that sticks out is clipped to 0..W, 0..H (pixel edges) and slices 0..D-1.

    Args:
        boxes: (N, 6) in the common form, voxel coordinates.
        shape: (D, H, W) of the image.

    Returns:
        The repaired boxes (N, 6), z rounded to whole slices, and one warning per kind of repair.

    Raises:
        CaseError: a box holds NaN or infinity, lies outside the image, or is empty.
    """
    _refuse(np.any(~np.isfinite(boxes), axis=1), "holds NaN or infinity")
    warnings = []
    low, high = np.minimum(boxes[:, LOW], boxes[:, HIGH]), np.maximum(boxes[:, LOW], boxes[:, HIGH])
    swapped = np.any(boxes[:, LOW] > boxes[:, HIGH], axis=1)
    if swapped.any():
        warnings.append(f"{_name(swapped)} swapped corners, reordered")

    depth, height, width = shape
    low[:, 2], high[:, 2] = np.rint(low[:, 2]), np.rint(high[:, 2])
    _refuse(np.any(low[:, :2] == high[:, :2], axis=1), "is empty")
    outside = (high <= [0, 0, -1]) | (low >= [width, height, depth])
    _refuse(np.any(outside, axis=1), f"is outside the image (width {width}, height {height}, slices {depth})")

    limit = np.array([width, height, depth - 1], dtype=np.float64)
    clipped_low, clipped_high = np.clip(low, 0, limit), np.clip(high, 0, limit)
    clipped = np.any((clipped_low != low) | (clipped_high != high), axis=1)
    if clipped.any():
        warnings.append(f"{_name(clipped)} stuck out of the image, clipped")
    return np.concatenate([clipped_low, clipped_high], axis=1), warnings


def _refuse(bad: BoolArray, reason: str) -> None:
    if bad.any():
        raise CaseError(f"{_name(bad)} {reason}")


def _name(chosen: BoolArray) -> str:
    """`box 3` or `boxes 1, 2, 7`, counted from 1 as the labels in `segs` are."""
    numbers = [str(i + 1) for i in np.flatnonzero(chosen)]
    more = f" and {len(numbers) - MOST_NAMED} more" if len(numbers) > MOST_NAMED else ""
    return ("box " if len(numbers) == 1 else "boxes ") + ", ".join(numbers[:MOST_NAMED]) + more
