"""Where boxes end: voxel indices of cases against the pixel edges that some models take."""

import numpy as np
import pytest

from inference.cases.boxes import to_convention
from inference.model.metadata import INDICES, PIXEL_EDGES

BOXES = np.array([[1.0, 2, 0, 4, 5, 3], [10, 10, 1, 32, 23.5, 1]])


@pytest.mark.parametrize(
    ("convention", "high"), [(INDICES, [[4, 5, 3], [32, 23.5, 1]]), (PIXEL_EDGES, [[5, 6, 3], [32, 24, 1]])]
)
def test_high_sides_move_to_the_last_pixels_far_edge_but_not_out_of_the_image(convention, high):
    moved = to_convention(BOXES, height=24, width=32, convention=convention)
    np.testing.assert_array_equal(moved[:, :3], BOXES[:, :3])
    np.testing.assert_array_equal(moved[:, 3:], high)
