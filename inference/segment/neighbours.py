"""What else boxes ask for where an object is looked for: of a wall and its lumen, each box alone could mean either.

Of the objects that are segmented together, those whose boxes overlap an object's box are its neighbours. They are drawn
into two maps, since what lies inside a smaller box is mostly not the object's own, and what lies inside a larger one
mostly is.
"""

import numpy as np

from ..arrays import BoolArray, Float32Array

STRIDE = 4  # input pixels per pixel of the maps
MAPS = SMALLER, LARGER = 0, 1


def neighbour_maps(boxes: Float32Array, related: BoolArray, input_size: int) -> Float32Array:
    """Where the boxes of each object's neighbours lie.

    Args:
        boxes: (n, 4) `x_min, y_min, x_max, y_max`, input pixels, of all objects on one window.
        related: (n, n) whether two objects can meet at all, as they do where their extents overlap.
        input_size: side S of the encoder's input, pixels.

    Returns:
        (n, 2, S/4, S/4) in 0..1: how much of each pixel lies in a smaller neighbour's box, and in another's.
    """
    size = input_size // STRIDE
    on_x, on_y = (_coverage(boxes[:, [axis, axis + 2]] / np.float32(STRIDE), size) for axis in (0, 1))
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    overlaps = np.all(
        np.maximum(boxes[:, None, :2], boxes[:, :2]) < np.minimum(boxes[:, None, 2:], boxes[:, 2:]), axis=2
    )
    maps = np.zeros((len(boxes), len(MAPS), size, size), np.float32)
    for index, neighbour in np.argwhere(related & overlaps & ~np.eye(len(boxes), dtype=np.bool_)):
        drawn = maps[index, SMALLER if areas[neighbour] < areas[index] else LARGER]
        np.maximum(drawn, on_y[neighbour, :, None] * on_x[neighbour], out=drawn)
    return maps


def _coverage(intervals: Float32Array, size: int) -> Float32Array:
    """How much of each pixel of an axis lies in each interval (n, 2): (n, size) in 0..1."""
    starts = np.arange(size, dtype=np.float32)
    low, high = intervals[:, :1], intervals[:, 1:]
    covered: Float32Array = np.clip(np.minimum(starts + 1, high) - np.maximum(starts, low), 0, 1).astype(np.float32)
    return covered
