"""From which slice to which objects reach: as their boxes say, or to the ends of the volume until it is found."""

import numpy as np
import pytest

from inference.cases.case import make_case
from inference.errors import SetupError
from inference.options import FIND, FLATTEN, GIVEN, PROPAGATE, Options
from inference.segment.extent import extents_of
from inference.segment.following import check_extent, follows
from tests.support.fake_model import STATE, metadata

VOLUME = make_case(np.zeros((9, 40, 50), np.uint8), np.array([[3, 4, 1, 30, 30, 6], [5, 5, 2, 35, 38, 2]]))
FOLLOWING, PLAIN = metadata(state=STATE), metadata()


def test_boxes_give_the_extents():
    first, start, last, to_find = extents_of(VOLUME, Options(extent=GIVEN))
    assert (first.tolist(), start.tolist(), last.tolist()) == ([1, 2], [3, 2], [6, 2])
    assert not to_find.any()


def test_where_extents_are_to_be_found_a_box_of_one_slice_reaches_to_the_ends_of_the_volume():
    first, start, last, to_find = extents_of(VOLUME, Options(extent=FIND))
    assert (first.tolist(), start.tolist(), last.tolist()) == ([1, 0], [3, 2], [6, 8])
    assert to_find.tolist() == [False, True]


def test_an_image_has_one_slice():
    image = make_case(np.zeros((40, 50), np.uint8), np.array([[3, 4, 30, 30]]))
    assert not extents_of(image, Options(extent=FIND)).to_find.any()


def test_a_place_is_the_way_to_both_ends_and_from_the_start():
    extents = extents_of(VOLUME, Options(extent=FIND))
    place = extents.place(np.array([1, 0]), 5)
    assert place.dtype == np.float32
    assert place.tolist() == [[-1, -1, 3], [4, 1, 2]]
    assert extents.place(np.array([0]), 1).tolist() == [[0, 5, 2]]


@pytest.mark.parametrize(
    ("strategy", "model", "expected"),
    [(PROPAGATE, FOLLOWING, True), (FLATTEN, FOLLOWING, False), (PROPAGATE, PLAIN, False)],
)
def test_objects_are_followed_where_the_model_can_and_the_user_wants_it(strategy, model, expected):
    assert follows(Options(strategy), model) is expected


def test_extents_that_cannot_be_found_are_refused():
    check_extent(Options(extent=FIND), FOLLOWING)
    check_extent(Options(FLATTEN), PLAIN)
    with pytest.raises(SetupError, match=r"^--extent find needs weights with a volume_decoder\.onnx.*--weights.*$"):
        check_extent(Options(extent=FIND), PLAIN)
    for model in (FOLLOWING, PLAIN):
        with pytest.raises(SetupError, match=r"^--extent find .*leave out --strategy flatten$"):
            check_extent(Options(FLATTEN, extent=FIND), model)
