"""Which windows magnify small objects."""

import numpy as np
import pytest

from inference.segment.zoom import CONTEXT, LEAST_SIDE, MAX_WINDOWS, WHOLE_IMAGE, Window, plan_windows


def square_boxes(centres, side):
    centres = np.asarray(centres, float)
    return np.concatenate([centres - side / 2, centres + side / 2], axis=1)


def grid(count, spacing, offset=40):
    axis = offset + spacing * np.arange(count)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def assert_sound(boxes, windows, chosen, height, width):
    assert windows[WHOLE_IMAGE] == Window(0, 0, width, height)
    assert len(windows) <= MAX_WINDOWS + 1
    for box, index in zip(boxes, chosen, strict=True):
        left, top, right, bottom = window = windows[index]
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert left <= box[0] < box[2] <= right
        assert top <= box[1] < box[3] <= bottom
        if index != WHOLE_IMAGE:
            assert max(window.width, window.height) >= min(CONTEXT * (box[2:] - box[:2]).max(), height, width) - 1


def test_large_objects_need_no_window():
    boxes = square_boxes([[250, 250], [200, 300]], side=260)
    windows, chosen = plan_windows(boxes, 512, 512)
    assert chosen.tolist() == [WHOLE_IMAGE] * 2
    assert len(windows) == 1


def test_small_object_gets_a_window_with_its_context():
    boxes = square_boxes([[700, 300]], side=40)
    windows, chosen = plan_windows(boxes, 600, 1000)
    assert chosen.tolist() == [1]
    assert windows[1] == Window(655, 255, 745, 345)


def test_tiny_objects_are_not_magnified_beyond_what_the_image_holds():
    windows, chosen = plan_windows(np.array([[200.0, 200, 206, 206]]), 400, 400)
    assert (windows[chosen[0]].width, windows[chosen[0]].height) == (32, 32)
    assert plan_windows(np.array([[10.0, 10, 15, 16]]), 38, 30)[1].tolist() == [WHOLE_IMAGE]


@pytest.mark.parametrize("centre", [(12, 12), (590, 12), (12, 390), (590, 390)])
def test_at_the_border_the_window_is_shifted_inside(centre):
    boxes = square_boxes([centre], side=20)
    windows, chosen = plan_windows(boxes, 400, 600)
    assert_sound(boxes, windows, chosen, 400, 600)
    assert (windows[1].width, windows[1].height) == (45, 45)


def test_neighbours_share_a_window():
    boxes = square_boxes(grid(2, 20, offset=100), side=20)
    windows, chosen = plan_windows(boxes, 1000, 1000)
    assert chosen.tolist() == [1, 1, 1, 1]
    assert len(windows) == 2


def test_distant_objects_do_not_share_one():
    boxes = square_boxes([[50, 50], [950, 950]], side=20)
    _, chosen = plan_windows(boxes, 1000, 1000)
    assert sorted(chosen.tolist()) == [1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_boxes_further_than_twice_its_side_do_not_change_the_window_of_a_box(seed):
    rng = np.random.default_rng(seed)
    side = rng.uniform(LEAST_SIDE / CONTEXT, 300)
    centre = rng.uniform(2000, 4000, (1, 2))
    along, across = rng.uniform(2, 4, MAX_WINDOWS - 1), rng.uniform(-1, 1, MAX_WINDOWS - 1)
    away = rng.permuted(np.stack([along, across], axis=1), axis=1) * rng.choice([-1, 1], (MAX_WINDOWS - 1, 1)) * side
    others = square_boxes(centre + away, side * rng.uniform(0.5, 2, (MAX_WINDOWS - 1, 1)))
    among, chosen = plan_windows(np.concatenate([others, square_boxes(centre, side)]), 6000, 6000)
    alone, (chosen_alone,) = plan_windows(square_boxes(centre, side), 6000, 6000)
    assert among[chosen[-1]] == alone[chosen_alone]


def test_boxes_of_other_sizes_do_not_change_the_window_of_a_box():
    small, large = square_boxes([[500, 500]], side=20), square_boxes([[500, 500], [500, 510]], side=200)
    windows, chosen = plan_windows(np.concatenate([large, small]), 1000, 1000)
    assert chosen[0] == chosen[1] != chosen[2]
    assert windows[chosen[2]] == plan_windows(small, 1000, 1000)[0][1]


def test_beyond_the_bound_only_the_smallest_boxes_are_seen_smaller():
    tiny, large = square_boxes(grid(6, 25, offset=100), side=10), square_boxes([[1500, 1500]], side=300)
    windows, chosen = plan_windows(np.concatenate([tiny, large]), 2000, 2000)
    assert 1 < len(set(chosen.tolist())) <= MAX_WINDOWS
    assert windows[chosen[-1]] == plan_windows(large, 2000, 2000)[0][1]
    assert all(max(windows[index].width, windows[index].height) < 300 for index in chosen[:-1])


def test_twenty_thousand_boxes_need_no_more_windows():
    rng = np.random.default_rng(0)
    sides = rng.uniform(1, 30, (20_000, 2))
    start = rng.uniform(0, 300 - sides)
    boxes = np.concatenate([start, start + sides], axis=1)
    assert_sound(boxes, *plan_windows(boxes, 300, 300), 300, 300)


@pytest.mark.parametrize(("count", "size"), [(16, 1200), (31, 2560)])
def test_number_of_windows_is_bounded(count, size):
    boxes = square_boxes(grid(count, size // (count + 2)), side=30)
    windows, chosen = plan_windows(boxes, size, size)
    assert_sound(boxes, windows, chosen, size, size)
    assert np.count_nonzero(chosen) > 0


@pytest.mark.parametrize("seed", range(20))
def test_random_boxes(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(30, 3000, 2)
    sides = rng.uniform(0.002, 0.9, (rng.integers(1, 300), 1)) ** 2 * [width, height]
    start = rng.uniform(0, 1, sides.shape) * ([width, height] - sides)
    boxes = np.concatenate([start, start + sides], axis=1)
    windows, chosen = plan_windows(boxes, int(height), int(width))
    assert_sound(boxes, windows, chosen, height, width)


def test_no_boxes():
    windows, chosen = plan_windows(np.empty((0, 4)), 100, 100)
    assert len(windows) == 1
    assert chosen.shape == (0,)
