"""From an image to the encoder's input, and from its boxes to the prompt encoder's coordinates."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..arrays import Array, Float32Array
from ..model.metadata import AFTER_PADDING

SMALLEST_RANGE = 1e-8  # a constant image maps to 0, not to NaN


@dataclass(frozen=True)
class Geometry:
    """How an image of `height` x `width` lies in the square input: scaled to the top left corner, padded with zeros.

    The longest side becomes `input_size`; both axes keep their own exact ratio of sizes, because that, and not the
    nominal scale, is what the resize and the mask's way back do.
    """

    height: int
    width: int
    input_size: int

    @property
    def resized_height(self) -> int:
        return self._resized(self.height)

    @property
    def resized_width(self) -> int:
        return self._resized(self.width)

    def _resized(self, side: int) -> int:
        return max(1, int(side * self.input_size / max(self.height, self.width) + 0.5))

    def boxes_to_input(self, boxes: Array) -> Float32Array:
        """Boxes (N, 4) `x_min, y_min, x_max, y_max` in image pixels to input pixels, in floating point."""
        ratio_x, ratio_y = self.resized_width / self.width, self.resized_height / self.height
        return (boxes * [ratio_x, ratio_y, ratio_x, ratio_y]).astype(np.float32)


def encoder_input(image: Array, geometry: Geometry, normalise: str) -> Float32Array:
    """Resize, pad and normalise one image.

    Args:
        image: (H, W) or (H, W, 3), uint8 or float32, 0..255; gray becomes three equal channels.
        geometry: where the image lies in the input.
        normalise: `AFTER_PADDING` or `BEFORE_PADDING`, as the model was trained.

    Returns:
        (1, 3, S, S) float32 in 0..1.
    """
    size = (geometry.resized_width, geometry.resized_height)
    shrinking = max(geometry.height, geometry.width) > geometry.input_size
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    low, high = float(resized.min()), float(resized.max())
    padded = resized.shape[0] < geometry.input_size or resized.shape[1] < geometry.input_size
    if normalise == AFTER_PADDING and padded:
        low = min(low, 0.0)
    scaled = (resized.astype(np.float32) - low) / max(high - low, SMALLEST_RANGE)
    channels_first = scaled.transpose(2, 0, 1) if scaled.ndim == 3 else scaled[np.newaxis]
    # Zero padding stays 0 either way: after padding the minimum is 0 already, as intensities are not negative.
    square = np.zeros((1, 3, geometry.input_size, geometry.input_size), np.float32)
    square[0, :, : resized.shape[0], : resized.shape[1]] = channels_first
    return square
