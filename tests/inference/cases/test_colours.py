"""Colours of objects: neighbours in space are told apart."""

import cv2
import numpy as np

from inference.cases.colours import MOST_TOLD_APART, PALETTE, choose_colours

# As a person without the middle cones sees them: Viénot, Brettel and Mollon 1999, another model than the code's.
RED_AND_GREEN = np.array([[0.2928, 0.7072, 0], [0.2928, 0.7072, 0], [-0.0223, 0.0223, 1]])


def distances(colours: np.ndarray, without_middle_cones: bool) -> np.ndarray:
    """Lab distance of each colour (N, 3) to each other, (N, N)."""
    rgb = colours[:, ::-1] / 255
    if without_middle_cones:
        rgb = np.clip(rgb**2.2 @ RED_AND_GREEN.T, 0, 1) ** (1 / 2.2)
    lab = cv2.cvtColor(rgb[np.newaxis].astype(np.float32), cv2.COLOR_RGB2Lab)[0]
    return np.linalg.norm(lab[:, np.newaxis] - lab, axis=2)


def grid(side: int, order: np.random.Generator) -> np.ndarray:
    """Boxes (N, 6) of `side` x `side` objects with narrow gaps, numbered in any order."""
    x, y = (30.0 * axis.ravel() for axis in np.meshgrid(np.arange(side), np.arange(side)))
    z = np.zeros_like(x)
    return order.permutation(np.stack([x, y, z, x + 24, y + 24, z], axis=1))


def test_colours_of_the_palette_are_told_apart():
    pairs = np.triu_indices(len(PALETTE), k=1)
    assert distances(PALETTE, without_middle_cones=False)[pairs].min() > 40
    assert distances(PALETTE, without_middle_cones=True)[pairs].min() > 20


def test_neighbours_in_space_have_different_colours_whatever_their_numbers():
    for seed in range(3):
        boxes = grid(10, np.random.default_rng(seed))
        colours = choose_colours(boxes)
        apart = np.abs(boxes[:, np.newaxis, :2] - boxes[:, :2]).max(axis=2)
        touching = (apart > 0) & (apart <= 30)
        assert distances(colours, without_middle_cones=False)[touching].min() > 40
        assert distances(colours, without_middle_cones=True)[touching].min() > 20


def test_objects_over_each_other_have_different_colours():
    boxes = np.array([[0, 0, 0, 90, 90, 5], [10, 10, 1, 30, 30, 4], [12, 12, 1, 25, 25, 4]], float)
    assert len(np.unique(choose_colours(boxes), axis=0)) == 3


def test_equal_cases_have_equal_colours():
    boxes = grid(5, np.random.default_rng(0))
    np.testing.assert_array_equal(choose_colours(boxes), choose_colours(boxes.copy()))


def test_all_colours_are_used_where_there_are_too_many_objects_to_tell_apart():
    colours = choose_colours(np.zeros((MOST_TOLD_APART + 1, 6)))
    assert len(np.unique(colours, axis=0)) == len(PALETTE)


def test_no_objects():
    assert choose_colours(np.empty((0, 6))).shape == (0, 3)
