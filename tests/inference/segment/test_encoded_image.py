"""An image that is encoded once: what is encoded again, and on what the mask of a box lies."""

import numpy as np

from inference.cases.case import make_case
from inference.segment.encoded_image import EncodedImage
from tests.support.fake_model import FakeModel

IMAGE = np.zeros((300, 400), np.uint8)
IMAGE[100:200, 100:300] = 200  # large
IMAGE[20:40, 30:50] = 200  # small
LARGE, SMALL, NEAR = np.array([90.0, 90, 309, 209]), np.array([25.0, 15, 54, 44]), np.array([26.0, 15, 55, 44])


def encoded():
    model = FakeModel()
    return EncodedImage(make_case(IMAGE, np.empty((0, 4))), model), model


def test_boxes_that_need_no_window_cost_no_pass():
    image, model = encoded()
    for box, zoom in ((LARGE, True), (LARGE, False), (SMALL, False)):
        image.segment(box, zoom)
    assert len(model.passes) == 1


def test_a_window_is_encoded_once_as_long_as_no_other_is_needed():
    image, model = encoded()
    for box in (SMALL, LARGE, SMALL):
        image.segment(box, zoom=True)
    assert len(model.passes) == 2
    image.segment(NEAR, zoom=True)
    image.segment(SMALL, zoom=True)
    assert len(model.passes) == 4


def test_the_mask_lies_where_the_object_is_with_and_without_a_window():
    image, _ = encoded()
    zoomed, score = image.segment(SMALL, zoom=True)
    assert (zoomed.shape, zoomed.dtype, score) == (IMAGE.shape, np.bool_, 0.75)
    np.testing.assert_array_equal(zoomed[:60, :60], IMAGE[:60, :60] > 0)
    assert not zoomed[60:].any()
    coarse, _ = image.segment(SMALL, zoom=False)
    assert coarse[25:35, 35:45].all()
    assert not coarse[60:].any()


def test_an_object_that_is_not_there_has_an_empty_mask():
    mask, _ = encoded()[0].segment(np.array([320.0, 220, 390, 290]), zoom=True)
    assert not mask.any()


def test_a_score_outside_of_what_an_iou_can_be_is_clipped(monkeypatch):
    image, model = encoded()
    say = model.say
    for says, is_given in ((1.25, 1.0), (-0.5, 0.0)):
        monkeypatch.setattr(model, "say", lambda block, says=says: say(block)._replace(scores=np.array([says])))
        assert image.segment(LARGE, zoom=False)[1] == is_given
