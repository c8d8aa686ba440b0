"""The encoder's input and the boxes on it."""

import tracemalloc

import cv2
import numpy as np
import pytest

from inference.model.metadata import AFTER_PADDING, BEFORE_PADDING
from inference.segment import preprocess
from inference.segment.preprocess import Geometry, encoder_input


@pytest.mark.parametrize(
    ("height", "width", "resized"),
    [
        (512, 512, (256, 256)),
        (3024, 4032, (192, 256)),
        (600, 245, (256, 105)),
        (31, 29, (256, 239)),
        (1, 5000, (1, 256)),
    ],
)
def test_longest_side_fills_the_input(height, width, resized):
    geometry = Geometry(height, width, 256)
    assert (geometry.resized_height, geometry.resized_width) == resized


def test_boxes_keep_their_fractions():
    boxes = Geometry(600, 245, 256).boxes_to_input(np.array([[0, 0, 245, 600], [10.5, 20, 100, 300]]))
    np.testing.assert_allclose(boxes, [[0, 0, 105, 256], [4.5, 8.533333, 42.857143, 128]], rtol=1e-6)


def test_gray_becomes_three_equal_channels():
    image = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    gray = encoder_input(image, Geometry(60, 80, 256), AFTER_PADDING)
    colour = encoder_input(np.stack([image] * 3, axis=-1), Geometry(60, 80, 256), AFTER_PADDING)
    assert gray.shape == (1, 3, 256, 256)
    assert gray.dtype == np.float32
    np.testing.assert_allclose(gray, colour, atol=1e-6)


def test_order_of_normalisation_and_padding():
    image = np.full((128, 256), 100, np.uint8)
    image[0, 0] = 200
    geometry = Geometry(128, 256, 256)
    after = encoder_input(image, geometry, AFTER_PADDING)[0, 0]
    before = encoder_input(image, geometry, BEFORE_PADDING)[0, 0]
    assert (after[0, 0], after[1, 1], after[200, 0]) == (1.0, 0.5, 0.0)
    assert (before[0, 0], before[1, 1], before[200, 0]) == (1.0, 0.0, 0.0)


def test_without_padding_the_order_does_not_matter():
    image = np.random.default_rng(0).integers(20, 200, (99, 99), np.uint8)
    geometry = Geometry(99, 99, 256)
    after, before = (encoder_input(image, geometry, order) for order in (AFTER_PADDING, BEFORE_PADDING))
    np.testing.assert_array_equal(after, before)
    assert (after.min(), after.max()) == (0.0, 1.0)


def test_constant_image_is_finite():
    assert np.isfinite(encoder_input(np.full((64, 64), 7, np.uint8), Geometry(64, 64, 256), BEFORE_PADDING)).all()


def test_shrinking_averages():
    """INTER_AREA: a checkerboard of single pixels becomes its mean, not a sample of it."""
    board = (np.indices((512, 512)).sum(axis=0) % 2 * 200).astype(np.uint8)
    board[:2, :2], board[2:4, :2] = 0, 255
    result = encoder_input(board, Geometry(512, 512, 256), BEFORE_PADDING)[0, 0]
    np.testing.assert_allclose(result[2:, 2:], 100 / 255, atol=1e-6)


def test_enlarging_is_linear():
    image = np.array([[0, 255], [0, 255]], np.uint8)
    result = encoder_input(image, Geometry(2, 2, 256), BEFORE_PADDING)[0, 0]
    expected = cv2.resize(image.astype(np.float32), (256, 256), interpolation=cv2.INTER_LINEAR) / 255
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize(
    "shape",
    [(100, 80), (100, 80, 3), (256, 256), (300, 200), (300, 200, 3), (1100, 1000), (600, 1001, 3), (1, 300), (3000, 1)],
)
def test_bytes_and_floats_give_the_same_input(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    geometry = Geometry(*shape[:2], 256)
    as_bytes, as_floats = (encoder_input(pixels, geometry, AFTER_PADDING) for pixels in (image, image.astype("f4")))
    np.testing.assert_array_equal(as_bytes, as_floats)


@pytest.mark.parametrize("shape", [(1100, 1000), (1023, 611, 3), (512, 512), (300, 4000, 3), (3000, 1)])
def test_a_large_image_is_shrunk_in_bands_with_the_same_result(shape, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    geometry = Geometry(*shape[:2], 256)
    monkeypatch.setattr(preprocess, "LARGE", image.size)
    at_once = encoder_input(image, geometry, AFTER_PADDING)
    monkeypatch.setattr(preprocess, "LARGE", 0)
    for band in (image.size // 7, 1):
        monkeypatch.setattr(preprocess, "BAND", band)
        np.testing.assert_allclose(encoder_input(image, geometry, AFTER_PADDING), at_once, atol=1e-6)


def test_a_large_image_is_never_held_as_float32():
    image = np.zeros((3024, 4032, 3), np.uint8)
    tracemalloc.start()
    encoder_input(image, Geometry(3024, 4032, 256), AFTER_PADDING)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < image.nbytes  # as float32 it would be four times as large
