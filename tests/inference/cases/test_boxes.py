"""Boxes: which are good, which are repaired, which are unusable."""

import numpy as np
import pytest

from inference.cases.boxes import common_form, repair

SHAPE = DEPTH, HEIGHT, WIDTH = 5, 48, 64


def repaired(*boxes):
    return repair(common_form(np.array(boxes, float)), SHAPE)


@pytest.mark.parametrize(
    "box",
    [
        [5, 5, 5, 9],  # one pixel wide: x_max belongs to the box
        [5, 9, 20, 9],
        [63, 47, 63, 47],  # the last pixel of the image alone
        [0, 0, 0, 0],
        [1.5, 2.25, 9.75, 30.5],
        [0, 0, 64, 48],  # pixel edges, given for indices
        [63.5, 0, 64, 5],
        [5, 5, 0, 5, 9, 4],
        [7, 7, 4, 7, 7, 4],  # one voxel
    ],
)
def test_a_good_box_stays_as_it_is(box):
    result = repaired(box)
    np.testing.assert_array_equal(result.boxes, common_form(np.array([box], float)))
    assert result.usable.tolist() == [True]
    assert (result.warnings, result.problems) == ([], [])


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ([-3, 0, 0, 10], [0, 0, 0, 10]),  # reaches pixel 0, which belongs to it
        ([2, -9, 8, 0], [2, 0, 8, 0]),
        ([-3, 0, -0.5, 10], [0, 0, 0, 10]),  # its far edge at 0.5 lies in the image
        ([-5, -6, 80, 90], [0, 0, 64, 48]),
        ([63, 2, 90, 10], [63, 2, 64, 10]),
        ([63.5, 0, 70, 5], [63.5, 0, 64, 5]),
        ([-1e308, 2, 1e308, 10], [0, 2, 64, 10]),
        ([3, 4, -2, 30, 40, 99], [3, 4, 0, 30, 40, 4]),
        ([3, 4, -2, 30, 40, 0], [3, 4, 0, 30, 40, 0]),
    ],
)
def test_a_box_that_sticks_out_is_clipped(box, clipped):
    result = repaired(box)
    np.testing.assert_array_equal(result.boxes, common_form(np.array([clipped], float)))
    assert result.usable.tolist() == [True]
    assert (result.warnings, result.problems) == (["box 1 stuck out of the image, clipped"], [])


@pytest.mark.parametrize(
    ("low", "high", "first", "last"),
    [
        (1.5, 2.5, 1, 3),  # from halfway outward, where half to even gives 2 and 2
        (0.5, 3.5, 0, 4),
        (1.4, 2.6, 1, 3),
        (1.6, 2.4, 2, 2),
        (2.5, 2.5, 2, 3),
        (-0.5, 0.5, 0, 1),
        (4, 4.4, 4, 4),
        (3.5, 1.5, 1, 4),
    ],
)
def test_an_end_between_slices_moves_to_the_nearest_and_from_halfway_outward(low, high, first, last):
    result = repaired([0, 0, 1, 9, 9, 2], [3, 4, low, 30, 40, high])
    np.testing.assert_array_equal(result.boxes[1], [3, 4, first, 30, 40, last])
    assert "box 2 began or ended between slices, moved to the nearest" in result.warnings


OUTSIDE = "is outside the image (width 64, height 48, slices 5)"


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([64, 0, 70, 5], OUTSIDE),
        ([0, 48, 5, 48], OUTSIDE),
        ([-9, 0, -1, 5], OUTSIDE),  # its last pixel is the one before the first
        ([1, 1, 5, 4, 4, 9], OUTSIDE),
        ([1, 1, -4, 4, 4, -1], OUTSIDE),
        ([1, 1, -4, 4, 4, -0.6], OUTSIDE),
        ([np.nan, 0, 5, 5], "holds NaN or infinity"),
        ([0, 0, np.inf, 5], "holds NaN or infinity"),
        ([0, 0, 0, 5, 5, np.nan], "holds NaN or infinity"),
        ([-np.inf] * 3 + [np.inf] * 3, "holds NaN or infinity"),
    ],
)
def test_an_unusable_box_costs_its_own_object_only(box, reason):
    good = [3, 4, 1, 30, 40, 3]
    bad = common_form(np.array([box], float))[0]
    result = repaired(good, bad, good)
    np.testing.assert_array_equal(result.boxes, [good, [0] * 6, good])
    assert result.usable.tolist() == [True, False, True]
    assert (result.warnings, result.problems) == ([], [f"box 2 {reason}"])


def test_every_unusable_box_has_its_line_and_no_other_repair_is_told_of_it():
    swapped_outside, swapped = [90, 9, 80, 2], [9, 9, 2, 2]
    result = repaired(swapped_outside, swapped, [-9, -9, -2, -2], [np.nan] * 4)
    assert result.warnings == ["box 2 swapped corners, reordered"]
    assert result.problems == [f"box 1 {OUTSIDE}", f"box 3 {OUTSIDE}", "box 4 holds NaN or infinity"]


def test_no_boxes():
    result = repair(np.empty((0, 6)), SHAPE)
    assert (result.boxes.shape, result.usable.shape) == ((0, 6), (0,))
    assert (result.warnings, result.problems) == ([], [])
