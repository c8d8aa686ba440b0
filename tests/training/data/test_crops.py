"""Which part of an image a sample shows: it holds its object, at all scales, and is preprocessed as at run time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.augmentation import AugmentationConfig, translation
from training.data.crops import Crop, crop_matrix, draw_crop, keep_in_input


@settings(max_examples=200)
@given(
    height=st.integers(20, 400),
    width=st.integers(20, 400),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1), st.floats(0.01, 1)),
    seed=st.integers(0, 10_000),
)
def test_a_crop_holds_its_object_and_lies_in_the_image(
    height: int, width: int, place: tuple[float, ...], seed: int
) -> None:
    x, y, w, h = place
    box = np.array([x * (width - 1), y * (height - 1), 0, 0]).astype(int)
    box[2] = box[0] + max(1, int(w * (width - box[0])))
    box[3] = box[1] + max(1, int(h * (height - box[1])))
    crop = draw_crop(np.random.default_rng(seed), height, width, box, AugmentationConfig(crop=1))
    assert 0 <= crop.x <= box[0]
    assert 0 <= crop.y <= box[1]
    assert box[2] <= crop.x + crop.width <= width
    assert box[3] <= crop.y + crop.height <= height
    longest = max(height, width)
    assert max(crop.width, crop.height) >= min(longest, 2 * max(box[2] - box[0], box[3] - box[1])) - 1
    assert max(crop.width, crop.height) >= longest / 8 - 1


def test_crops_cover_all_scales_between_the_object_and_the_image() -> None:
    rng = np.random.default_rng(0)
    box = np.array([100, 100, 116, 110])
    sides = np.array([draw_crop(rng, 256, 256, box, AugmentationConfig(crop=1)).width for _ in range(500)])
    assert 32 <= sides.min() < 36
    assert 230 < sides.max() <= 256
    assert np.median(sides) == pytest.approx(np.sqrt(32 * 256), rel=0.15)


def test_without_crop_the_whole_image_is_seen() -> None:
    assert draw_crop(np.random.default_rng(0), 50, 90, np.array([1, 1, 4, 4]), AugmentationConfig(crop=0)) == Crop(
        0, 0, 90, 50
    )


def test_a_crop_is_preprocessed_as_the_runtime_does() -> None:
    matrix, width, height = crop_matrix(Crop(10, 20, 64, 33), 256)
    assert (width, height) == (256, 132)
    np.testing.assert_allclose(matrix @ [10, 20, 1], [0, 0, 1])
    np.testing.assert_allclose(matrix @ [74, 53, 1], [256, 132, 1])


def test_an_object_is_pulled_back_into_the_input_by_as_little_as_needed() -> None:
    box = np.array([10, 20, 30, 40])
    np.testing.assert_allclose(keep_in_input(np.eye(3), box, 256), np.eye(3))
    moved = keep_in_input(translation(-15, 230), box, 256)
    np.testing.assert_allclose(moved @ [10, 40, 1], [0, 256, 1])
