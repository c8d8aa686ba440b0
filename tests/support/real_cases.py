"""Real validation cases as a model sees them."""

from pathlib import Path

import numpy as np

from inference.model.metadata import AFTER_PADDING
from inference.segment.preprocess import Geometry, encoder_input


def preprocessed_case(path: Path, input_size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Encoder input (1, 3, S, S) and boxes (N, 4) in input pixels of a 2D case, float32."""
    with np.load(path) as case:
        image, boxes = case["imgs"], case["boxes"]
    geometry = Geometry(*image.shape[:2], input_size)
    return encoder_input(image, geometry, AFTER_PADDING), geometry.boxes_to_input(boxes)
