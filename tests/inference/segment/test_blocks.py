"""How many boxes go through the decoder at once."""

import pytest

from inference.segment.blocks import WORTH_A_SIZE, block_sizes, split


def sizes(paying, count):
    return [block.stop - block.start for block in split(count, paying)]


def test_a_few_boxes_go_one_by_one():
    assert sizes(block_sizes([7], largest=16), 7) == [1] * 7


def test_a_size_that_many_boxes_share_is_used():
    assert sizes(block_sizes([6] * 50, largest=16), 6) == [6]  # a volume: the same view on 50 slices


def test_many_boxes_of_one_view_go_in_the_largest_blocks_and_the_rest_one_by_one():
    assert sizes(block_sizes([35], largest=16), 35) == [16, 16, 1, 1, 1]


def test_a_rest_takes_what_other_views_have_paid_for():
    assert sizes(block_sizes([32, *[8] * 4, 10], largest=16), 26) == [16, 8, 1, 1]


@pytest.mark.parametrize(("uses", "expected"), [(WORTH_A_SIZE // 2, [2]), (WORTH_A_SIZE // 2 - 1, [1, 1])])
def test_from_how_many_boxes_on_a_size_pays(uses, expected):
    assert sizes(block_sizes([2] * uses, largest=16), 2) == expected


@pytest.mark.parametrize("largest", [1, 3, 16, 1000])
@pytest.mark.parametrize("count", [0, 1, 2, 23, 24, 25, 300])
def test_blocks_cover_every_box_once_and_in_order(largest, count):
    blocks = list(split(count, block_sizes([count], largest)))
    assert [i for block in blocks for i in range(count)[block]] == list(range(count))
    assert all(0 < block.stop - block.start <= largest for block in blocks)
