"""Which part of an image a sample shows, as the runtime would crop and preprocess it."""

from dataclasses import dataclass

import numpy as np

from inference.segment.preprocess import Geometry
from training.data.augmentation import AugmentationConfig, translation


@dataclass(frozen=True)
class View:
    """A region of an image in whole pixels: columns x..x+width, rows y..y+height."""

    x: int
    y: int
    width: int
    height: int


def draw_view(rng: np.random.Generator, height: int, width: int, box: np.ndarray, config: AugmentationConfig) -> View:
    """The whole image, or a window that holds `box` at a random place and scale.

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
        return View(0, 0, width, height)
    side = round(smallest * (longest / smallest) ** scale)
    view_width, view_height = min(side, width), min(side, height)
    x = _place(place_x, box[0], box[2], view_width, width)
    y = _place(place_y, box[1], box[3], view_height, height)
    return View(x, y, view_width, view_height)


def _place(position: float, low: float, high: float, length: int, available: int) -> int:
    """Start of an interval of `length` within 0..`available` that covers low..high."""
    first = max(0, int(np.ceil(high)) - length)
    last = max(first, min(int(low), available - length))
    return first + int(position * (last - first + 1))


def view_matrix(view: View, input_size: int) -> tuple[np.ndarray, int, int]:
    """The runtime's preprocessing of a view as a matrix: longest side to `input_size`, at the top left.

    Returns:
        (3, 3) from image to input pixels (pixel edges), and the content's width and height in the input.
    """
    geometry = Geometry(view.height, view.width, input_size)
    content_width, content_height = geometry.resized_width, geometry.resized_height
    ratio_x, ratio_y = content_width / view.width, content_height / view.height
    matrix = np.array([[ratio_x, 0, -view.x * ratio_x], [0, ratio_y, -view.y * ratio_y], [0, 0, 1]])
    return matrix, content_width, content_height


def keep_in_view(matrix: np.ndarray, box: np.ndarray, input_size: int) -> np.ndarray:
    """Shift a view by as little as brings the transformed box wholly into the input, along each axis where it fits.

    Rotation and translation move objects that lie near a window's border out of it; a sample without an object would
    be wasted.

    Args:
        matrix: (3, 3) from image to input pixels; box: (4,) xyxy in the image.
    """
    x0, y0, x1, y1 = box
    corners = matrix[:2] @ np.array([[x0, x1, x0, x1], [y0, y0, y1, y1], [1, 1, 1, 1]])
    low, high = corners.min(axis=1), corners.max(axis=1)
    shift = np.where(high - low <= input_size, np.clip(0, -low, input_size - high), 0)
    return translation(*shift) @ matrix
