"""From an image to the encoder's input, and from its boxes to the prompt encoder's coordinates."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..arrays import Array, Float32Array
from ..model.metadata import AFTER_PADDING

SMALLEST_RANGE = 1e-8  # a constant image maps to 0, not to NaN
# An image of more values than this is shrunk in bands of rows: as float32 it would take four times its memory.
LARGE = 2**20
BAND = 2**17  # values of a band; in float32 they stay in the processor's cache


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
    """Resize, pad and normalise one image; equal intensities give equal inputs, whatever type holds them.

    Args:
        image: (H, W) or (H, W, 3), uint8 or float32, 0..255; gray becomes three equal channels.
        geometry: where the image lies in the input.
        normalise: `AFTER_PADDING` or `BEFORE_PADDING`, as the model was trained.

    Returns:
        (1, 3, S, S) float32 in 0..1.
    """
    resized = _resize(image, geometry)
    low, high = float(resized.min()), float(resized.max())
    padded = resized.shape[0] < geometry.input_size or resized.shape[1] < geometry.input_size
    if normalise == AFTER_PADDING and padded:
        low = min(low, 0.0)
    scaled = (resized - low) / max(high - low, SMALLEST_RANGE)
    channels_first = scaled.transpose(2, 0, 1) if scaled.ndim == 3 else scaled[np.newaxis]
    # Zero padding stays 0 either way: after padding the minimum is 0 already, as intensities are not negative.
    square = np.zeros((1, 3, geometry.input_size, geometry.input_size), np.float32)
    square[0, :, : resized.shape[0], : resized.shape[1]] = channels_first
    return square


def _resize(image: Array, geometry: Geometry) -> Float32Array:
    """The image in its size in the input: by area where it shrinks, else bilinear; unpadded, not normalised.

    In float32 throughout, since OpenCV rounds bytes to whole numbers. Of a large image a band of rows at a time is
    converted and made narrower, and then all together are made lower: the two steps of shrinking by area.
    """
    size = (geometry.resized_width, geometry.resized_height)
    shrinking = max(geometry.height, geometry.width) > geometry.input_size
    if not shrinking or image.size <= LARGE:
        interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        return _float32(cv2.resize(_float32(image), size, interpolation=interpolation))
    narrow = np.empty((geometry.height, geometry.resized_width, *image.shape[2:]), np.float32)
    rows = max(1, BAND // image[0].size)
    for start in range(0, geometry.height, rows):
        band = _float32(image[start : start + rows])
        narrow[start : start + rows] = cv2.resize(band, (size[0], len(band)), interpolation=cv2.INTER_AREA)
    return _float32(cv2.resize(narrow, size, interpolation=cv2.INTER_AREA))


def _float32(pixels: Array) -> Float32Array:
    return pixels.astype(np.float32, copy=False)
