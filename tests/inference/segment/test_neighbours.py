"""Maps of neighbours' boxes, by hand."""

import numpy as np

from inference.segment.neighbours import LARGER, SMALLER, neighbour_maps

SIZE = 32  # maps of 8 x 8


def maps(*boxes: tuple[float, ...], related=True) -> np.ndarray:
    count = len(boxes)
    return neighbour_maps(np.array(boxes, np.float32).reshape(-1, 4), np.broadcast_to(related, (count, count)), SIZE)


def drawn(rows: slice, columns: slice) -> np.ndarray:
    expected = np.zeros((8, 8))
    expected[rows, columns] = 1
    return expected


def test_a_smaller_box_and_a_larger_one_are_drawn_into_each_others_maps():
    found = maps((0, 0, 24, 16), (8, 8, 16, 24))
    assert found.shape == (2, 2, 8, 8)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0, SMALLER], drawn(slice(2, 6), slice(2, 4)))
    np.testing.assert_array_equal(found[1, LARGER], drawn(slice(0, 4), slice(0, 6)))
    assert not found[0, LARGER].any()
    assert not found[1, SMALLER].any()


def test_parts_of_pixels_count_as_parts_and_the_largest_part_stays():
    found = maps((0, 0, 32, 32), (2, 0, 7, 4), (2, 0, 4, 4))[0, SMALLER]
    assert found[0, :3].tolist() == [0.5, 0.75, 0]
    assert found[1:].sum() == 0


def test_boxes_that_only_touch_or_cannot_meet_are_no_neighbours():
    assert not maps((0, 0, 8, 8), (8, 0, 16, 8)).any()
    assert maps((0, 0, 8.5, 8), (8, 0, 16, 8)).any()
    apart = np.array([[True, False], [False, True]])
    assert not maps((0, 0, 16, 16), (4, 4, 8, 8), related=apart).any()


def test_a_box_alone_and_equal_boxes():
    assert not maps((0, 0, 16, 16)).any()
    assert maps().shape == (0, 2, 8, 8)
    found = maps((0, 0, 8, 8), (0, 0, 8, 8))  # neither is smaller
    np.testing.assert_array_equal(found[:, LARGER], [drawn(slice(2), slice(2))] * 2)
    assert not found[:, SMALLER].any()
