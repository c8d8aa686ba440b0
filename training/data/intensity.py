"""The CT window; what is common to training and runtime is in `inference.cases.intensity`."""

import numpy as np

from inference.cases.intensity import to_uint8


def window_level(values: np.ndarray, level: float, width: float) -> np.ndarray:
    """CT window: `level - width/2` becomes 0, `level + width/2` becomes 255, values outside are clipped.

    Args:
        values: any shape, Hounsfield units.
        level, width: Hounsfield units; 40 and 400 show soft tissue.

    Returns:
        uint8 of the same shape.
    """
    return to_uint8(values, level - width / 2, level + width / 2)
