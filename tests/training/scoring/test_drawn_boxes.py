"""Boxes as a person would draw them on one slice: where they lie, how far their sides move, and that they repeat."""

import numpy as np
import pytest

from inference.cases.case import make_case
from training.scoring.drawn_boxes import draw_box, with_drawn_boxes


class Moved:
    """A random generator that moves every side by the same share of 5 %."""

    def __init__(self, share: float) -> None:
        self.share = share

    def uniform(self, low: float, high: float, size: tuple[int, int]) -> np.ndarray:
        return np.full(size, low + self.share * (high - low))


def block(first: int = 2, last: int = 6) -> np.ndarray:
    """40 pixels wide and 100 high, on slices 2 to 6 of 9."""
    mask = np.zeros((9, 200, 120), bool)
    mask[first : last + 1, 30:130, 50:90] = True
    return mask


def test_a_box_is_tight_or_up_to_a_twentieth_wider_on_every_side():
    assert draw_box(block(), 4, Moved(0)).tolist() == [50, 30, 4, 89, 129, 4]
    assert draw_box(block(), 4, Moved(1)).tolist() == [48, 25, 4, 91, 134, 4]  # 5 % of 40 and of 100 pixels
    assert draw_box(block(), 4, Moved(0.3)).tolist() == [49, 28, 4, 90, 131, 4]  # 0.6 and 1.5 pixels, rounded


def test_sides_move_each_by_itself():
    rng = np.random.default_rng(0)
    margins = np.array([draw_box(block(), 4, rng) - [50, 30, 4, 89, 129, 4] for _ in range(200)])
    assert (margins[:, [2, 5]] == 0).all()
    outward = margins[:, [0, 1, 3, 4]] * [-1, -1, 1, 1]
    assert outward.min(axis=0).tolist() == [0, 0, 0, 0]
    assert outward.max(axis=0).tolist() == [2, 5, 2, 5]
    assert len(np.unique(outward, axis=0)) > 50


def test_boxes_stay_in_the_image():
    assert draw_box(np.ones((1, 60, 80), bool), 0, Moved(1)).tolist() == [0, 0, 0, 79, 59, 0]


@pytest.mark.parametrize(("middle", "z"), [(4, 4), (0, 2), (8, 6)])
def test_where_the_middle_slice_does_not_hold_the_object_the_nearest_is_taken(middle: int, z: int):
    assert draw_box(block(), middle, Moved(0))[[2, 5]].tolist() == [z, z]


def test_of_two_slices_equally_near_the_lower_is_taken_and_the_box_is_that_of_the_slice():
    mask = block()
    mask[4], mask[3, :, :60] = False, False
    assert draw_box(mask, 4, Moved(0)).tolist() == [60, 30, 3, 89, 129, 3]


def test_every_object_of_a_case_has_its_own_box_and_the_same_in_every_run():
    gts = np.zeros((9, 200, 120), np.uint8)
    gts[block(2, 6)], gts[block(7, 8)] = 1, 2
    case = make_case(np.zeros(gts.shape, np.uint8), np.array([[0, 0, 1, 119, 199, 6], [0, 0, 7, 119, 199, 8]]))
    drawn = with_drawn_boxes(case, gts, "3DBox_CT_1.npz")
    assert drawn.boxes[:, [2, 5]].tolist() == [[3, 3], [7, 7]]
    assert drawn.usable.all()
    assert (drawn.boxes[0, [0, 1, 3, 4]] != drawn.boxes[1, [0, 1, 3, 4]]).any()
    np.testing.assert_array_equal(with_drawn_boxes(case, gts, "3DBox_CT_1.npz").boxes, drawn.boxes)
    assert (with_drawn_boxes(case, gts, "3DBox_CT_2.npz").boxes != drawn.boxes).any()


def test_nobody_draws_a_box_of_what_is_not_there_or_was_unusable():
    gts = block().astype(np.uint8)
    gts[8, 0, 0] = 3
    boxes = np.array([[50, 30, 2, 89, 129, 6], [0, 0, 0, 5, 5, 8], [np.nan, 0, 8, 0, 0, 8]])
    drawn = with_drawn_boxes(make_case(np.zeros(gts.shape, np.uint8), boxes), gts, "a.npz")
    assert drawn.usable.tolist() == [True, False, False]
    assert (drawn.boxes[1:] == 0).all()
