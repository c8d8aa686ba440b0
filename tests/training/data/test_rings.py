"""Rings, discs and cells: what is labelled is what is drawn, one within the other."""

import cv2
import numpy as np
import pytest

from training.data.labelled_case import LabelledCase
from training.data.rings import cells_and_nuclei, disc_and_cup, mr_rings, ultrasound_rings

CASES = 10


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(x, y, width, height)"""
    return cv2.boundingRect(mask.astype(np.uint8))


def rings(case: LabelledCase) -> list[tuple[np.ndarray, np.ndarray]]:
    """Wall and lumen of each ring, bool (H, W)."""
    return [(case.gts == wall, case.gts == wall + 1) for wall in range(1, case.gts.max(), 2)]


@pytest.mark.parametrize("draw", [ultrasound_rings, mr_rings])
def test_walls_enclose_a_lumen_of_another_grey_level(draw):
    drawn = [draw(np.random.default_rng(seed)) for seed in range(CASES)]
    assert len({len(rings(case)) for case in drawn}) > 2
    shares, contrasts = [], []
    for case in drawn:
        for wall, lumen in rings(case):
            outlines, _ = cv2.findContours(wall.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            filled = cv2.drawContours(np.zeros_like(case.gts), outlines, -1, 1, cv2.FILLED)
            np.testing.assert_array_equal(filled > 0, wall | lumen)  # closed: nothing of the lumen leaks out
            (_, _, *outer), (_, _, *inner) = box(wall), box(lumen)
            shares.append(np.prod(inner) / np.prod(outer))
            contrasts.append(abs(case.imgs[wall].mean() - case.imgs[lumen].mean()))
    assert max(shares) < 1
    assert np.median(shares) > 0.6  # the one box lies within the other: this is their IoU
    assert np.mean(np.array(contrasts) > 15) > 0.9


def test_discs_are_pale_and_whole():
    sizes = []
    for seed in range(CASES):
        case = disc_and_cup(np.random.default_rng(seed))
        assert case.imgs.shape == (*case.gts.shape, 3)
        labelled = case.gts.astype(np.uint8)
        around = cv2.dilate(labelled, np.ones((9, 9), np.uint8)) > labelled
        assert case.imgs[labelled > 0].mean() > case.imgs[around].mean() + 5
        assert cv2.connectedComponents(labelled)[0] == 2
        sizes.append(labelled.sum())
    assert max(sizes) > 4 * min(sizes)


def test_cells_are_labelled_whole_or_by_their_nucleus_or_both():
    kinds = set()
    for seed in range(CASES):
        case = cells_and_nuclei(np.random.default_rng(seed))
        labels = np.unique(case.gts)[1:]
        kinds.add((bool((labels % 2 == 1).any()), bool((labels % 2 == 0).any())))
        assert case.imgs[case.gts > 0].mean() < case.imgs[case.gts == 0].mean()
        for label in labels[labels % 2 == 0]:
            cell, nucleus = case.gts == label - 1, case.gts == label
            if cell.any():
                assert case.imgs[nucleus].mean() < case.imgs[cell].mean()
    assert kinds == {(True, False), (False, True), (True, True)}
