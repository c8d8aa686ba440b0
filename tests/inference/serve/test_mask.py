"""A mask by steps, and back."""

import numpy as np
import pytest

from inference.serve.mask import Found, Mask, mask_bytes
from inference.serve.region import intervals, tight, whole, within

SHAPE = (6, 7, 8)


def found(part) -> Found:
    """All of a part of the image."""
    voxels = np.zeros(SHAPE, np.bool_)
    voxels[part] = True
    region = tight(voxels)
    return Found(region, voxels[region])


BLOCK, INNER, NOTHING = found(np.s_[1:5, 1:5, 1:5]), found(np.s_[2:3, 2:4, 2:9]), Found(None, np.zeros((0, 0, 0), bool))


def voxels(*parts) -> np.ndarray:
    expected = np.zeros(SHAPE, np.bool_)
    for part, value in parts:
        expected[part] = value
    return expected


def test_what_comes_last_has_its_way():
    mask = Mask(SHAPE)
    assert intervals(mask.include(BLOCK)) == [[1, 5]] * 3
    assert intervals(mask.exclude(INNER)) == [[2, 3], [2, 4], [2, 5]]
    np.testing.assert_array_equal(mask.values, voxels((BLOCK.region, True), (INNER.region, False)))
    assert intervals(mask.include(INNER)) == [[2, 3], [2, 4], [2, 8]]
    np.testing.assert_array_equal(mask.values, voxels((BLOCK.region, True), (INNER.region, True)))


def test_every_step_is_taken_back_and_says_where():
    mask = Mask(SHAPE)
    other = voxels((np.s_[0, 0, 0], True))
    steps = [lambda: mask.include(BLOCK), lambda: mask.exclude(INNER), lambda: mask.replace(other)]
    states, changes = [], []
    for step in steps:
        states.append(mask.values.copy())
        changes.append(step())
    while states:
        undone, region = mask.undo()
        assert undone
        assert region == changes.pop()
        np.testing.assert_array_equal(mask.values, states.pop())
    assert mask.undo() == (False, None)


@pytest.mark.parametrize("nothing", [NOTHING, BLOCK], ids=["nothing found", "nothing new"])
def test_a_step_that_changes_nothing_is_a_step(nothing):
    mask = Mask(SHAPE)
    mask.include(BLOCK)
    assert mask.include(nothing) is None
    assert mask.undo() == (True, None)
    assert mask.values.any()
    assert mask.undo() == (True, BLOCK.region)
    assert not mask.values.any()


def test_steps_back_take_no_more_memory_than_was_said():
    shape = (16, 16, 16)
    mask, everything = Mask(shape), Found(whole(shape), np.ones(shape, np.bool_))
    for _ in range(5):
        mask.include(everything)
        mask.exclude(everything)
    # A whole image has 2 bits for it: two steps of the whole, and no third.
    assert [mask.undo()[0] for _ in range(3)] == [True, True, False]
    assert mask_bytes(16**3) == 16**3 * 5 // 4


def test_regions():
    empty = np.zeros(SHAPE)
    assert tight(empty) is None
    empty[2, 3, 4] = empty[4, 3, 6] = 5
    assert intervals(tight(empty)) == [[2, 5], [3, 4], [4, 7]]
    assert within((slice(1, 2),), (slice(10, 20),)) == (slice(11, 12),)
