"""How many boxes go through the decoder at once."""

import pytest

from inference.segment.blocks import WORTH_BLOCKS, block_size, split


def test_a_few_boxes_go_one_by_one():
    assert block_size([WORTH_BLOCKS - 1], size=2) == 1
    assert block_size([WORTH_BLOCKS], size=2) == 2


def test_boxes_of_all_views_count():
    assert block_size([2] * (WORTH_BLOCKS // 2), size=2) == 2


@pytest.mark.parametrize(("count", "expected"), [(3, 1), (4, 4), (5, 1), (7, 4), (50, 4)])
def test_views_that_leave_much_of_their_last_block_empty_go_one_by_one(count, expected):
    assert block_size([count] * WORTH_BLOCKS, size=4) == expected


@pytest.mark.parametrize("size", [1, 3, 16, 1000])
@pytest.mark.parametrize("count", [0, 1, 2, 23, 24, 25, 300])
def test_blocks_cover_every_box_once_and_in_order(size, count):
    blocks = list(split(count, size))
    assert [i for block in blocks for i in range(count)[block]] == list(range(count))
    assert all(block.stop - block.start == size for block in blocks[:-1])
    assert all(0 < block.stop - block.start <= size for block in blocks[-1:])
