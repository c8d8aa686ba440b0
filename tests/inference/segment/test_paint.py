"""Who has a pixel that several objects claim."""

import itertools

import numpy as np
import pytest

from inference.options import LATER, LOGIT, SIZE
from inference.segment.paint import STRIP_PIXELS, Canvas, advantages
from inference.segment.resample import Region, Span

WHOLE = Region(Span(0, 1), Span(0, 4))
# Three objects on four pixels: the pixel's logit for each.
LOGITS = {1: [3, 2, -1, 1], 2: [1, 2, -2, 5], 3: [-1, 1, -3, 4]}
# Areas 16, 4 and 8: 4, 2 and 3 are subtracted under `SIZE`.
BOXES = np.array([[0, 0, 4, 4], [0, 0, 2, 2], [0, 0, 2, 4]], float)


@pytest.mark.parametrize(("rule", "expected"), [(LATER, [2, 3, 0, 3]), (LOGIT, [1, 1, 0, 2]), (SIZE, [1, 2, 0, 2])])
@pytest.mark.parametrize("order", list(itertools.permutations(LOGITS)))
def test_rule_does_not_depend_on_the_order_of_painting(rule, expected, order):
    labels = np.zeros((1, 4), np.uint8)
    canvas = Canvas(labels, advantages(rule, BOXES))
    for label in order:
        canvas.paint(label, np.array([LOGITS[label]], np.float32), WHOLE)
    assert labels[0].tolist() == expected


@pytest.mark.parametrize("rule", [LATER, LOGIT, SIZE])
def test_only_the_region_is_painted(rule):
    labels = np.zeros((4, 5), np.uint16)
    advantage = advantages(rule, np.tile([0.0, 0, 9, 9], (300, 1)))
    Canvas(labels, advantage).paint(300, np.ones((2, 3), np.float32), Region(Span(1, 3), Span(2, 5)))
    expected = np.zeros((4, 5), np.uint16)
    expected[1:3, 2:5] = 300
    np.testing.assert_array_equal(labels, expected)


def test_large_regions_are_painted_strip_by_strip_as_a_whole():
    rng = np.random.default_rng(0)
    shape = (3, STRIP_PIXELS - 1)  # strips of one row
    logits = rng.integers(-2, 3, (2, *shape)).astype(np.float32)  # few values: many ties
    segs = np.zeros(shape, np.uint8)
    canvas = Canvas(segs, np.array([0, 1], np.float32))
    for label in (2, 1):
        canvas.paint(label, logits[label - 1], Region(Span(0, shape[0]), Span(0, shape[1])))
    first, second = logits[0] > 0, logits[1] > 0
    wins = second & (~first | (logits[1] + 1 > logits[0]))
    np.testing.assert_array_equal(segs, np.where(wins, 2, first))
