"""Intensities of any scanner to 0..255, as the challenge prepares them."""

import numpy as np


def window(values: np.ndarray, level: float, width: float) -> np.ndarray:
    """CT window: `level - width/2` becomes 0, `level + width/2` becomes 255, values outside are clipped.

    Args:
        values: any shape, Hounsfield units.
        level, width: Hounsfield units; 40 and 400 show soft tissue.

    Returns:
        uint8 of the same shape.
    """
    return _to_uint8(values, level - width / 2, level + width / 2)


def rescale_percentiles(values: np.ndarray, lower: float = 0.5, upper: float = 99.5) -> np.ndarray:
    """The range between two percentiles of the non-zero voxels becomes 0..255, values outside are clipped.

    Args:
        values: any shape and unit; an image without a non-zero voxel gives zeros.
        lower, upper: percentiles, 0..100.

    Returns:
        uint8 of the same shape.
    """
    foreground = values[values != 0]
    if foreground.size == 0:
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(foreground, [lower, upper])
    return _to_uint8(values, low, high)


def _to_uint8(values: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = (values.astype(np.float32) - low) * (255 / max(high - low, 1e-8))
    return np.clip(scaled, 0, 255).astype(np.uint8)
