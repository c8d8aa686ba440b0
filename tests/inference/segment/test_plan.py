"""The plan of a case: everything that is decided before any work starts."""

from dataclasses import replace

import numpy as np
import pytest

from inference.cases.case import make_case
from inference.errors import CaseError
from inference.memory_limit import MB
from inference.model.metadata import INDICES, PIXEL_EDGES
from inference.options import FLATTEN, LATER, Options
from inference.segment.blocks import WORTH_BLOCKS, block_size
from inference.segment.memory import CANVAS_BYTES
from inference.segment.plan import in_convention, make_plan
from tests.support.fake_model import metadata

GB = 1024 * MB
BOXES = np.array([[1.0, 2, 4, 5], [10, 10, 32, 23.5]])
VOLUME = make_case(np.zeros((9, 40, 50), np.uint8), np.array([[3, 4, 1, 30, 30, 7], [5, 5, 2, 35, 38, 3]]))


def plan_of(case, memory=8 * GB, threads=2, **choices):
    return make_plan(case, metadata(), Options(**{"zoom": False, **choices}), memory, threads)


@pytest.mark.parametrize(("convention", "high"), [(INDICES, [[4, 5], [32, 23.5]]), (PIXEL_EDGES, [[5, 6], [32, 24]])])
def test_high_sides_move_to_the_last_pixels_far_edge_but_not_out_of_the_image(convention, high):
    moved = in_convention(BOXES, height=24, width=32, convention=convention)
    np.testing.assert_array_equal(moved[:, :2], BOXES[:, :2])
    np.testing.assert_array_equal(moved[:, 2:], high)


def test_an_image_is_one_visit_whatever_the_strategy():
    case = make_case(np.zeros((40, 50), np.uint8), np.array([[3, 4, 30, 30]]))
    for strategy in ("flatten", "propagate"):
        plan = plan_of(case, strategy=strategy)
        assert [(visit.z, len(visit.views)) for visit in plan.route.visits] == [(0, 1)]
        assert not plan.route.sweeps
        assert plan.lanes == 1


def test_a_volume_is_swept_unless_it_is_flattened():
    assert plan_of(VOLUME).route.sweeps
    assert not plan_of(VOLUME, strategy=FLATTEN).route.sweeps
    assert plan_of(VOLUME).lanes == 2
    assert plan_of(VOLUME, threads=1).lanes == plan_of(VOLUME, memory=2 * GB).lanes == 1


def test_a_box_that_cannot_be_used_is_on_no_visit_and_moves_no_window():
    image = np.zeros((400, 400), np.uint8)
    small = [100, 100, 110, 110]
    alone = plan_of(make_case(image, np.array([small])), zoom=True)
    both = make_case(image, np.array([small, [300, 300, 312, 312]]))
    plan = plan_of(replace(both, usable=np.array([True, False])), zoom=True)
    assert [int(i) for visit in plan.route.visits for view in visit.views for i in view.objects] == [0]
    assert plan.windows == alone.windows


def test_small_boxes_of_a_volume_share_one_window():
    boxes = np.array([[20, 20, 30, 30], [300, 40, 310, 52], [60, 350, 72, 362]])
    image = make_case(np.zeros((400, 400), np.uint8), boxes)
    low, high = np.insert(boxes[:, :2], 2, 0, axis=1), np.insert(boxes[:, 2:], 2, 2, axis=1)
    volume = make_case(np.zeros((3, 400, 400), np.uint8), np.concatenate([low, high], axis=1))
    assert len(plan_of(image, zoom=True).windows) == 1 + 3
    for visit in plan_of(volume, zoom=True).route.visits:
        assert len(visit.views) == 1


def test_without_boxes_nothing_is_visited():
    assert not list(plan_of(make_case(np.zeros((4, 40, 50), np.uint8), np.zeros((0, 6)))).route.visits)


def test_blocks_are_those_that_pay_over_all_visits():
    many = make_case(np.zeros((WORTH_BLOCKS, 40, 50), np.uint8), np.array([[3, 4, 0, 30, 30, WORTH_BLOCKS - 1]] * 2))
    assert plan_of(many, strategy=FLATTEN, box_batch=2).block_size == 2
    assert plan_of(many, strategy=FLATTEN, box_batch=3).block_size == 1
    assert plan_of(VOLUME).block_size == 1
    assert plan_of(many, strategy=FLATTEN, box_batch=1).block_size == 1


def test_blocks_of_an_image_are_those_that_its_number_of_boxes_lets_expect():
    """For which the decoder is loaded before windows are planned, however many a last block leaves empty."""
    low = np.array([(x, y) for x in (20, 220, 360) for y in (10, 200, 350)] * 7)
    case = make_case(np.zeros((400, 400), np.uint8), np.concatenate([low, low + 30], axis=1))
    views = [len(view.objects) for visit in plan_of(case, zoom=True).route.visits for view in visit.views]
    assert any(count % 2 for count in views)
    assert plan_of(case, zoom=True, box_batch=2).block_size == block_size([len(low)], 2) == 2


def test_memory_that_the_arrays_leave_is_for_embeddings():
    plan = plan_of(VOLUME)
    assert plan_of(VOLUME, memory=9 * GB).kept_bytes > plan.kept_bytes + 0.9 * GB
    # Three slices are painted at two goes: the middle of the second object, and where it is swept against the first.
    in_order = plan_of(VOLUME, overlap=LATER)
    twice = (in_order.kept_bytes - plan.kept_bytes) / (40 * 50 * CANVAS_BYTES)
    visits = [visit.z for visit in plan.route.visits]
    assert twice == len({z for z in visits if visits.count(z) > 1}) > 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(CaseError, match=r"a case of 9 x 40 x 50 voxels needs \d+ MB of memory, the limit allows 0 MB"):
        plan_of(VOLUME, memory=100 * MB)
