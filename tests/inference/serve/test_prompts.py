"""What is drawn becomes a region; what cannot be one is refused."""

import numpy as np
import pytest

from inference.serve.prompts import box_region, drawing_region
from inference.serve.refused import Refused
from inference.serve.region import intervals

SHAPE = (10, 20, 30)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ([[2, 3], [4, 9], [5, 6]], [[2, 3], [4, 9], [5, 6]]),
        ([[3, 2], [9, 4], [6, 5]], [[2, 3], [4, 9], [5, 6]]),  # drawn the other way
        ([[1.6, 2.4], [4.4, 8.6], [5.0, 7.0]], [[2, 3], [4, 9], [5, 7]]),  # as napari sends it
        ([[2.1, 2.3], [4, 9], [5, 6]], [[2, 3], [4, 9], [5, 6]]),  # less than a voxel
        ([[-5, 3], [15, 99], [0, 30]], [[0, 3], [15, 20], [0, 30]]),  # sticks out
        ([[9, 11], [0, 1], [29, 30]], [[9, 10], [0, 1], [29, 30]]),
    ],
)
def test_a_box_is_the_voxels_that_its_rounded_intervals_hold(drawn, expected):
    assert intervals(box_region(drawn, SHAPE)) == expected


@pytest.mark.parametrize(
    ("drawn", "reason"),
    [
        ([[2, 2], [4, 9], [5, 6]], "no extent along one of its axes"),
        ([[10, 11], [4, 9], [5, 6]], "outside the image of 10 x 20 x 30"),
        ([[-3, -1], [4, 9], [5, 6]], "outside the image"),
        ([[2, 3], [4, 9]], "three pairs of numbers"),
        ([[2, 3], [4, 9], [5]], "three pairs of numbers"),
        ([[2, 3], [4, 9], ["a", "b"]], "three pairs of numbers"),
        ([[2, 3], [4, 9], [float("nan"), 6]], "three pairs of numbers"),
        ([[2, 3], [4, 9], [True, False]], "three pairs of numbers"),
        ([[2, 3], [4, 9], [0, 1e300]], "three pairs of numbers"),
        (None, "three pairs of numbers"),
        ("box", "three pairs of numbers"),
    ],
)
def test_what_is_no_box_is_refused(drawn, reason):
    with pytest.raises(Refused, match=reason):
        box_region(drawn, SHAPE)


def test_a_drawing_is_the_box_around_it():
    mask = np.zeros(SHAPE, np.uint8)
    mask[4, 3:7, 8] = 1
    mask[4, 5, 6:12] = 7
    expected = [[4, 5], [3, 7], [6, 12]]
    assert intervals(drawing_region(mask, None, SHAPE)) == expected
    assert intervals(drawing_region(mask[3:6, 2:, 5:20], [[3, 6], [2, 20], [5, 20]], SHAPE)) == expected


@pytest.mark.parametrize(
    ("shape", "where", "reason"),
    [
        ((10, 20, 29), None, r"shape \(10, 20, 29\), which is not that of its place"),
        ((1, 10, 20, 30), None, "which is not that of its place"),
        ((2, 2, 2), [[0, 2], [0, 2], [0, 3]], "which is not that of its place"),
        ((2, 2, 2), [[0, 2], [0, 2], [29, 31]], "not inside the image"),
        ((2, 2, 2), [[-1, 1], [0, 2], [0, 2]], "not inside the image"),
        ((2, 2, 2), [[0.5, 2.5], [0, 2], [0, 2]], "not inside the image"),
        ((2, 2, 2), [[0, 2], [0, 2]], "three pairs of numbers"),
        (SHAPE, None, "the drawing is empty"),
    ],
)
def test_a_drawing_that_does_not_go_with_its_place_is_refused(shape, where, reason):
    with pytest.raises(Refused, match=reason):
        drawing_region(np.zeros(shape, np.uint8), where, SHAPE)
