"""Which axis of a volume its slices lie across, and boxes when that axis comes first."""

import numpy as np

from ..arrays import Array

SPACING_DECIMALS = 4  # of a mm


def slice_axis(spacing: Array) -> int:
    """The axis of the largest of three spacings, mm: a scanner took the slices across it. Of equal ones the first."""
    # Rounded, so that an axis is not chosen for what floating point made of equal numbers.
    return int(np.argmax(spacing.round(SPACING_DECIMALS)))


def with_axis_first(boxes: Array, axis: int) -> Array:
    """Boxes (N, 6) of a volume whose `axis` moves to the front."""
    if axis == 0:
        return boxes
    order = [2, 1, 0]  # the columns of z, y, x
    order.insert(0, order.pop(axis))
    z, y, x = order
    return boxes[..., [x, y, z, x + 3, y + 3, z + 3]]
