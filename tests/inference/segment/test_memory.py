"""What a case is given of the memory that this process may use."""

from dataclasses import replace

import numpy as np
import pytest

from inference.cases.case import make_case
from inference.errors import CaseError
from inference.memory_limit import MB, USABLE
from inference.model.variant import SIDE_BY_SIDE
from inference.segment.memory import (
    CANVAS_BYTES,
    COSTS,
    LARGEST,
    PIXEL_BYTES,
    check_fits,
    held_by_others,
    share_out,
)
from tests.support.fake_model import STATE, metadata

GB = 1024 * MB


def of(model, state=()):
    return replace(metadata(state=state), model=model)


class TestShares:
    @pytest.mark.parametrize(
        ("model", "limit"),
        [(model, limit) for model in ("light", "litemedsam") for limit in (1, 2, 4, 8, 64)]
        + [(model, limit) for model in ("medsam_vit_b", "a model that came later") for limit in (4, 8, 64)],
    )
    def test_add_up_to_less_than_the_limit(self, model, limit):
        share, cost = share_out(of(model), 16, limit * GB, 4), COSTS.get(model, LARGEST)
        boxes = SIDE_BY_SIDE * share.box_batch if share.box_batch > 1 else 1
        taken = cost.runtime + boxes * cost.box + (cost.lanes if share.lanes > 1 else 0)
        assert taken + share.case_bytes <= limit * GB * USABLE
        assert share.case_bytes > 0
        assert share.box_batch in (1, 16)

    def test_plenty_changes_nothing_that_was_asked_for(self):
        share = share_out(of("litemedsam"), 20, 8 * GB, 4)
        assert (share.box_batch, share.lanes) == (20, 2)
        assert share.case_bytes > 4 * GB

    def test_one_thread_walks_along_one_lane(self):
        assert share_out(of("light"), 16, 8 * GB, 1).lanes == 1

    def test_short_of_memory_boxes_and_slices_go_one_by_one(self):
        share = share_out(of("litemedsam"), 16, 1 * GB, 4)
        assert (share.box_batch, share.lanes) == (1, 1)

    def test_less_than_the_model_needs_leaves_nothing(self):
        share = share_out(of("litemedsam"), 16, 100 * MB, 4)
        assert (share.box_batch, share.case_bytes) == (1, 0)

    def test_a_third_graph_takes_its_part(self):
        two, three = (share_out(of("light", state), 16, 8 * GB, 4) for state in ((), STATE))
        assert two.case_bytes - three.case_bytes == COSTS["light"].volume_decoder
        assert two[:2] == three[:2]

    def test_a_model_that_nobody_measured_is_taken_to_be_the_largest(self):
        assert all(cost <= LARGEST for cost in COSTS.values())


class TestFit:
    CASE = make_case(np.zeros((10, 200, 300), np.uint8), np.array([[3, 4, 1, 30, 40, 3]] * 20))

    def needed(self, kept_slices: int = 0, lanes: int = 1, states: int = 0) -> int:
        return check_fits(self.CASE, lanes, kept_slices, states, 2**40)

    def test_volume_masks_and_working_memory_are_counted(self):
        pixels = 200 * 300
        assert self.needed() >= 2 * self.CASE.volume.size + pixels * PIXEL_BYTES
        assert self.needed(kept_slices=5) == self.needed() + 5 * pixels * CANVAS_BYTES
        assert self.needed(states=12345) == self.needed() + 12345
        assert self.needed(lanes=2) >= self.needed() + pixels * PIXEL_BYTES

    def test_what_just_fits_is_allowed(self):
        assert check_fits(self.CASE, 1, 0, 0, self.needed()) == self.needed()

    @pytest.mark.parametrize("missing", [1, 2**40])
    def test_what_cannot_fit_is_refused_with_figures(self, missing):
        allowed = max(0, self.needed() - missing)
        figures = rf"a case of 10 x 200 x 300 voxels needs {-(-self.needed() >> 20)} MB.* allows {allowed >> 20} MB"
        with pytest.raises(CaseError, match=figures):
            check_fits(self.CASE, 1, 0, 0, allowed)


def test_of_what_a_program_holds_only_what_the_runtime_cannot_hold_is_its_own():
    share = share_out(of("light"), 16, 8 * GB, 2)
    runtime = int(8 * GB * USABLE) - share.case_bytes
    for resident, others in ((0, 0), (runtime, 0), (runtime + 3 * GB, 3 * GB)):
        assert held_by_others(resident, of("light"), 16, 8 * GB, 2) == others
