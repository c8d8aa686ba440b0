"""Intensities of any scanner to 0..255, for what is to be segmented and for training data alike: one definition."""

import numpy as np

from ..arrays import Array
from ..options import Window

PERCENTILES = (0.5, 99.5)  # of the non-zero values, as the challenge prepares its images
LEAST_RANGE = 1e-8  # an image of one value has no range to divide by


def rescale_percentiles(values: Array) -> Array:
    """The range between two percentiles of the non-zero values becomes 0..255, what lies outside is clipped.

    Args:
        values: any shape, real type and unit, finite; an image without a non-zero value gives zeros.

    Returns:
        uint8 of the same shape.
    """
    return to_uint8(values, *percentile_range(values))


def percentile_range(values: Array) -> tuple[float, float]:
    """The two percentiles of the non-zero values; of an image without any a range that makes it black."""
    foreground = values[values != 0]
    if foreground.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(foreground, PERCENTILES, overwrite_input=True)
    return low, high


def window_level(values: Array, level: float, width: float) -> Array:
    """A window of CT: `level - width/2` becomes 0, `level + width/2` becomes 255, values outside are clipped.

    Args:
        values: any shape, Hounsfield units.
        level, width: Hounsfield units; 40 and 400 show soft tissue.

    Returns:
        uint8 of the same shape.
    """
    return to_uint8(values, *Window(level, width).ends)


def to_grey(values: Array, window: Window | None) -> Array:
    """The volume as it is segmented, made slice by slice, so that no second one of floating point is held.

    Args:
        values: (D, H, W), real type and unit, finite; any layout in memory.
        window: what becomes 0..255; where None, the range between two percentiles (see `rescale_percentiles`).

    Returns:
        uint8 of the same shape.
    """
    low, high = window.ends if window else percentile_range(values)
    grey: Array = np.empty(values.shape, np.uint8)
    for z, plane in enumerate(values):
        grey[z] = to_uint8(plane, low, high)
    return grey


def to_uint8(values: Array, low: float, high: float) -> Array:
    """`low` becomes 0, `high` 255, values outside are clipped, fractions are dropped."""
    scaled = values.astype(np.float32) - low
    scaled *= 255 / max(high - low, LEAST_RANGE)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)
