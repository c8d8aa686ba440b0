"""Which part of an image a sample shows, preprocessed as at run time."""

from dataclasses import dataclass

import numpy as np

from inference.segment.preprocess import Geometry
from training.data.augmentation import AugmentationConfig, translation


@dataclass(frozen=True)
class Crop:
    """A region of an image in whole pixels: columns x..x+width, rows y..y+height."""

    x: int
    y: int
    width: int
    height: int


def draw_crop(rng: np.random.Generator, height: int, width: int, box: np.ndarray, config: AugmentationConfig) -> Crop:
    """The whole image, or a part that holds `box` at a random place and scale.

    Args:
        height, width: of the image.
        box: (4,) xyxy of the object, px.
    """
    cropped, scale, place_x, place_y = rng.random(4)
    longest = max(height, width)
    smallest = max(
        config.smallest_context * float(max(box[2] - box[0], box[3] - box[1])), longest / config.largest_zoom
    )
    if cropped >= config.crop or smallest >= longest:
        return Crop(0, 0, width, height)
    side = round(smallest * (longest / smallest) ** scale)
    crop_width, crop_height = min(side, width), min(side, height)
    x = _place(place_x, box[0], box[2], crop_width, width)
    y = _place(place_y, box[1], box[3], crop_height, height)
    return Crop(x, y, crop_width, crop_height)


def _place(position: float, low: float, high: float, length: int, available: int) -> int:
    """Start of an interval of `length` within 0..`available` that covers low..high."""
    first = max(0, int(np.ceil(high)) - length)
    last = max(first, min(int(low), available - length))
    return first + int(position * (last - first + 1))


def crop_matrix(crop: Crop, input_size: int) -> tuple[np.ndarray, int, int]:
    """The runtime's preprocessing of a crop as a matrix: longest side to `input_size`, at the top left.

    Returns:
        (3, 3) from image to input pixels (pixel edges), and the content's width and height in the input.
    """
    geometry = Geometry(crop.height, crop.width, input_size)
    content_width, content_height = geometry.resized_width, geometry.resized_height
    ratio_x, ratio_y = content_width / crop.width, content_height / crop.height
    matrix = np.array([[ratio_x, 0, -crop.x * ratio_x], [0, ratio_y, -crop.y * ratio_y], [0, 0, 1]])
    return matrix, content_width, content_height


def keep_in_input(matrix: np.ndarray, box: np.ndarray, input_size: int) -> np.ndarray:
    """Shift by as little as brings the transformed box wholly into the input, along each axis where it fits.

    Rotation and translation move objects that lie near a crop's border out of it; a sample without an object would be
    wasted.

    Args:
        matrix: (3, 3) from image to input pixels; box: (4,) xyxy in the image.
    """
    x0, y0, x1, y1 = box
    corners = matrix[:2] @ np.array([[x0, x1, x0, x1], [y0, y0, y1, y1], [1, 1, 1, 1]])
    low, high = corners.min(axis=1), corners.max(axis=1)
    shift = np.where(high - low <= input_size, np.clip(0, -low, input_size - high), 0)
    return translation(*shift) @ matrix
