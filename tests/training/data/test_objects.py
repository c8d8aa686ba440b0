"""Objects of volumes that can be followed."""

import numpy as np

from tests.support.labelled_volume import EXTENTS, labelled_volume
from training.data.objects import FEWEST_SLICES, FEWEST_VOXELS, VolumeObject, find_objects, slices_with


def test_objects_are_found_from_their_first_to_their_last_slice():
    gts = labelled_volume().gts
    assert find_objects(gts).tolist() == [[label, *EXTENTS[label]] for label in (1, 2)]
    assert find_objects(gts).dtype == np.int32


def test_what_is_too_short_or_too_small_is_left_out():
    gts = np.zeros((9, 20, 20), np.uint16)
    side = int(FEWEST_VOXELS**0.5)
    gts[:1, :side, :side] = 1  # large enough, on one slice
    gts[2 : 2 + FEWEST_SLICES, 15, 15] = 300  # on enough slices, too small
    assert find_objects(gts).shape == (0, 3)
    gts[2, 10:, :side] = 300
    assert find_objects(gts).tolist() == [[300, 2, 2 + FEWEST_SLICES - 1]]
    gts[3, 15, 15] = 0  # a gap does not part an object
    assert find_objects(gts).tolist() == [[300, 2, 2 + FEWEST_SLICES - 1]]
    assert slices_with(gts, 300).tolist() == [2, 4]
    assert find_objects(np.zeros((3, 4, 4), np.uint8)).shape == (0, 3)


def test_others_in_the_window_of_an_object_do_not_count_as_its_own():
    gts = np.full((3, 20, 20), 1, np.uint8)
    gts[:, 0, 0] = gts[:, -1, -1] = 2
    assert find_objects(gts).tolist() == [[1, 0, 2]]


def test_the_middle_is_where_the_runtime_starts():
    assert VolumeObject(1, 3, 8).middle == (3 + 8) // 2
