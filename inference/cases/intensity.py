"""Intensities of any scanner to 0..255, for pictures to be segmented and for training data alike."""

import numpy as np

from ..arrays import Array

PERCENTILES = (0.5, 99.5)  # of the non-zero values, as the challenge prepares its images
LEAST_RANGE = 1e-8  # an image of one value has no range to divide by


def rescale_percentiles(values: Array) -> Array:
    """The range between two percentiles of the non-zero values becomes 0..255, what lies outside is clipped.

    Args:
        values: any shape, real type and unit, finite; an image without a non-zero value gives zeros.

    Returns:
        uint8 of the same shape.
    """
    foreground = values[values != 0]
    if foreground.size == 0:
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(foreground, PERCENTILES)
    return to_uint8(values, low, high)


def window_level(values: Array, level: float, width: float) -> Array:
    """CT window: `level - width/2` becomes 0, `level + width/2` becomes 255, values outside are clipped.

    Args:
        values: any shape, Hounsfield units.
        level, width: Hounsfield units; 40 and 400 show soft tissue.

    Returns:
        uint8 of the same shape.
    """
    return to_uint8(values, level - width / 2, level + width / 2)


def to_uint8(values: Array, low: float, high: float) -> Array:
    """`low` becomes 0, `high` 255, values outside are clipped, fractions are dropped."""
    scaled = values.astype(np.float32) - low
    scaled *= 255 / max(high - low, LEAST_RANGE)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)
