"""Images of any scanner become 0..255, as the command line and `Predictor` make them."""

import numpy as np
import pytest

from inference.cases.intensity import rescale_percentiles, window_level
from inference.options import WINDOWS
from inference.serve.image import check_shape, make_image
from inference.serve.refused import Refused

RAMP = np.linspace(-1000, 800, 4 * 6 * 5).reshape(1, 4, 6, 5)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_what_has_air_is_ct(dtype):
    values = RAMP.astype(dtype)
    np.testing.assert_array_equal(make_image(values, None, None).grey, window_level(values[0], 40, 400), strict=True)


def test_a_window_that_is_chosen_is_taken_for_everything():
    for values in (RAMP, RAMP.clip(0).astype(np.uint8)):
        expected = window_level(values[0], *WINDOWS["bone"])
        np.testing.assert_array_equal(make_image(values, None, WINDOWS["bone"]).grey, expected)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_all_else_is_seen_between_two_percentiles(dtype):
    values = (RAMP + 1000).astype(dtype)
    np.testing.assert_array_equal(make_image(values, None, None).grey, rescale_percentiles(values[0]), strict=True)


@pytest.mark.parametrize("values", [(RAMP[:] % 256).astype(np.uint8), RAMP > 0], ids=["bytes", "truth values"])
def test_bytes_stay_as_they_are(values):
    np.testing.assert_array_equal(make_image(values, None, None).grey, values[0].view(np.uint8), strict=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_none_are_refused(value):
    values = RAMP.copy()
    values[0, 2, 3, 1] = value
    with pytest.raises(Refused, match="holds NaN or infinity"):
        make_image(values, None, None)


@pytest.mark.parametrize(
    ("properties", "axis"),
    [
        ({"spacing": [3.0, 0.7, 0.7]}, 0),
        ({"spacing": [0.7, 0.7, 3]}, 2),
        ({"spacing": [1, 1.00000001, 1]}, 0),
        ({"spacing": [0.5, 1]}, 0),  # napari says this of an image of one slice
        ({"spacing": [1, -3, 1]}, 0),
        ({"spacing": [1, float("nan"), 1]}, 0),
        ({"spacing": "wide"}, 0),
        ({}, 0),
        (None, 0),
        ([3], 0),
    ],
)
def test_slices_lie_across_the_axis_of_the_largest_spacing(properties, axis):
    assert make_image(RAMP, properties, None).slices_across == axis


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (4, 5, 6), (1, 1, 4, 5, 6)])
def test_one_channel_of_a_volume_is_expected(shape):
    check_shape((1, 4, 5, 6))
    with pytest.raises(Refused, match="one channel of a volume"):
        check_shape(shape)
