"""What a case is given of the memory that this process may use."""

import numpy as np
import pytest

from inference.cases.case import make_case
from inference.errors import CaseError
from inference.memory_limit import MB, USABLE
from inference.options import Options
from inference.segment.memory import (
    CANVAS_BYTES,
    COSTS,
    LITEMEDSAM,
    PIXEL_BYTES,
    fit,
    share_out,
)

GB = 1024 * MB


class TestShares:
    @pytest.mark.parametrize("model", ["light", "litemedsam", "a model that came later"])
    @pytest.mark.parametrize("limit", [1, 2, 4, 8, 64])
    def test_add_up_to_less_than_the_limit(self, model, limit):
        options, cost = share_out(Options(), model, limit * GB), COSTS.get(model, LITEMEDSAM)
        blocks = options.box_batch * cost.box
        taken = cost.runtime + blocks + (cost.lanes + options.lanes * blocks if options.lanes > 1 else 0)
        assert taken + options.case_bytes <= limit * GB * USABLE
        assert options.case_bytes > 0
        assert options.box_batch >= 1

    def test_plenty_changes_nothing_that_was_asked_for(self):
        options = share_out(Options(box_batch=20), "litemedsam", 8 * GB)
        assert (options.box_batch, options.lanes) == (20, 2)
        assert options.case_bytes > 4 * GB

    def test_short_of_memory_boxes_and_slices_at_once_are_fewer(self):
        options = share_out(Options(box_batch=16), "litemedsam", 1 * GB)
        assert (options.box_batch, options.lanes) == (4, 1)

    def test_less_than_the_model_needs_leaves_nothing(self):
        options = share_out(Options(), "litemedsam", 100 * MB)
        assert (options.box_batch, options.case_bytes) == (1, 0)


class TestFit:
    CASE = make_case(np.zeros((10, 200, 300), np.uint8), np.array([[3, 4, 1, 30, 40, 3]] * 20))

    def least(self, kept_slices: int = 0, lanes: int = 1) -> int:
        """The smallest share that the case fits in."""
        low, high = 0, 2**40
        while high - low > 1:
            middle = (low + high) // 2
            try:
                fit(Options(case_bytes=middle, lanes=lanes), self.CASE, kept_slices)
                high = middle
            except CaseError:
                low = middle
        return high

    def test_what_is_left_is_for_embeddings(self):
        least = self.least()
        assert fit(Options(case_bytes=least, lanes=1), self.CASE, 0).kept_bytes == 0
        assert fit(Options(case_bytes=least + 7 * MB, lanes=1), self.CASE, 0).kept_bytes == 7 * MB

    def test_volume_masks_and_working_memory_are_counted(self):
        pixels = 200 * 300
        assert self.least() >= 2 * self.CASE.volume.size + pixels * PIXEL_BYTES
        assert self.least(kept_slices=5) == self.least() + 5 * pixels * CANVAS_BYTES
        assert self.least(lanes=2) >= self.least() + pixels * PIXEL_BYTES

    def test_what_cannot_fit_is_refused_with_figures(self):
        with pytest.raises(CaseError, match=r"a case of 10 x 200 x 300 voxels needs \d+ MB.* allows 2 MB"):
            fit(Options(case_bytes=2 * MB), self.CASE, 0)
