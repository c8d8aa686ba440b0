"""Bands: what is labelled is what is drawn, and its boxes overlap."""

from collections.abc import Callable
from functools import cache
from itertools import combinations

import numpy as np
import pytest

from training.data.bands import retina, tissue_layers
from training.data.labelled_case import LabelledCase
from training.data.targets import TargetConfig, find_targets

CASES = 12
kinds = pytest.mark.parametrize("draw", [retina, tissue_layers])


@cache
def cases(draw: Callable[[np.random.Generator], LabelledCase]) -> list[LabelledCase]:
    return [draw(np.random.default_rng(seed)) for seed in range(CASES)]


def step_at_borders(case: LabelledCase, shift: int) -> float:
    """Mean difference of grey level between the 3 pixels above and the 3 below the border of a label, which is moved
    down by `shift`; the difference of a border is the mean over the columns that it crosses."""
    image = case.imgs.astype(float)
    above, below = case.gts[:-1], case.gts[1:]
    steps = []
    for pair in np.unique(np.stack([above, below], axis=-1)[above != below], axis=0):
        rows, columns = np.nonzero((above == pair[0]) & (below == pair[1]))
        inside = (rows + shift >= 2) & (rows + shift < len(image) - 4)
        rows, columns = rows[inside] + shift, columns[inside]
        if len(rows) >= 50:
            upper, lower = (sum(image[rows + i, columns] for i in part) / 3 for part in ((-2, -1, 0), (1, 2, 3)))
            steps.append(abs(float((lower - upper).mean())))
    return float(np.mean(steps))


@kinds
def test_labels_end_where_the_grey_level_changes(draw):
    here, beside = (np.mean([step_at_borders(case, shift) for case in cases(draw)]) for shift in (0, 10))
    assert here > 15
    assert here > 1.5 * beside


@kinds
def test_images_are_as_large_as_training_takes_them(draw):
    drawn = cases(draw)
    assert all(max(case.gts.shape) == 288 for case in drawn)
    assert len({case.gts.shape for case in drawn}) > CASES / 2
    assert all(case.imgs.dtype == np.uint8 and 10 < case.imgs.std() < 100 for case in drawn)


@kinds
def test_boxes_of_bands_overlap_and_thin_ones_are_among_them(draw):
    overlapping, thicknesses = 0, []
    for case in cases(draw):
        targets = find_targets(case.gts, "OCT/procedural_bands", TargetConfig())
        assert len(targets) > 0
        for first, second in combinations(targets.boxes, 2):
            low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
            overlapping += bool((high - low > (0.5 * 144, 2)).all())
        wide = targets.boxes[:, 2] - targets.boxes[:, 0] > 140
        thicknesses += list(targets.areas[wide] / (targets.boxes[wide, 2] - targets.boxes[wide, 0]))
    assert overlapping > CASES
    assert min(thicknesses) < 6
    assert max(thicknesses) > 25


def test_fluid_is_darker_than_what_surrounds_it():
    """Pockets are the labels of the retina that do not reach from side to side."""
    darker = []
    for case in cases(retina):
        for label in set(np.unique(case.gts)) - {0}:
            rows, columns = np.nonzero(case.gts == label)
            if np.ptp(columns) < 70 and len(rows) > 100:
                around = case.imgs[max(rows.min() - 4, 0) : rows.max() + 5, columns.min() : columns.max() + 1]
                darker.append(float(around.mean() - case.imgs[rows, columns].mean()))
    assert len(darker) > 5
    assert np.mean(np.array(darker) > 5) > 0.8


def test_only_fluid_interrupts_a_layer():
    """Down any column, between the ends of a layer, there is nothing but the layer and pockets, all labelled."""
    for case in cases(retina):
        labels = [label for label in np.unique(case.gts) if label]
        wide = {label for label in labels if np.ptp(np.nonzero(case.gts == label)[1]) > 140}
        for label in wide:
            for column in np.unique(np.nonzero(case.gts == label)[1]):
                rows = np.flatnonzero(case.gts[:, column] == label)
                others = set(case.gts[rows[0] : rows[-1] + 1, column]) - {label}
                assert not others & (wide | {0})
