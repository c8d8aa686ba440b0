"""One window: what of the slice is encoded, which prompts the decoder gets, and where its logits lie on the slice."""

import numpy as np
import pytest

from inference.model.pair import Block
from inference.segment.objects import ObjectLogits, boxes_on, encode_window, full_resolution, tight_box
from inference.segment.preprocess import Geometry, encoder_input
from inference.segment.resample import Region, Span
from inference.segment.zoom import Window
from tests.support.fake_model import FakeModel

HEIGHT, WIDTH = 80, 100
WHOLE = Window(0, 0, WIDTH, HEIGHT)
SQUARE = np.zeros((HEIGHT, WIDTH), np.uint8)
SQUARE[20:40, 30:50] = 200
AROUND_SQUARE = [25.0, 15.0, 55.0, 45.0]


class Says(FakeModel):
    """Gives the same logits for every box."""

    def __init__(self, logits: np.ndarray, **settings) -> None:
        super().__init__(**settings)
        self.logits = logits.astype(np.float32)

    def say(self, block):
        return super().say(block)._replace(logits=np.repeat(self.logits[np.newaxis], len(block.boxes), axis=0))


def decode(model, window, boxes, image=SQUARE) -> list[ObjectLogits]:
    boxes = np.array(boxes, float).reshape(-1, 4)
    (scored,) = model.decode([Block(encode_window(model, image, window), boxes_on(model, window, boxes))])
    return list(full_resolution(model, scored.logits, window, np.arange(len(boxes))))


def painted(found: ObjectLogits) -> np.ndarray:
    """The object's mask on its slice."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[found.region.rows.slice, found.region.columns.slice] = found.logits > 0
    return mask


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_window_is_encoded_as_the_image_it_shows(channels):
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, *channels), np.uint8)
    model = FakeModel()
    encode_window(model, image, Window(30, 10, 90, 50))
    (encoded,) = model.passes
    np.testing.assert_array_equal(
        encoded, encoder_input(image[10:50, 30:90], Geometry(40, 60, 64), model.metadata.normalise)
    )


@pytest.mark.parametrize("window", [WHOLE, Window(20, 10, 60, 50)])
def test_an_object_lies_where_the_slice_shows_it(window):
    (found,) = decode(FakeModel(input_size=256), window, AROUND_SQUARE)
    assert found.label == 1
    assert found.logits.dtype == np.float32
    assert found.logits.shape == tuple(len(range(span.start, span.stop)) for span in found.region)
    np.testing.assert_array_equal(painted(found), SQUARE > 0)


def test_the_region_is_that_of_the_object_and_not_of_the_window():
    (found,) = decode(FakeModel(input_size=256), WHOLE, AROUND_SQUARE)
    assert found.logits.size < 2 * 20 * 20
    assert found.region.rows.start >= 16
    assert found.region.columns.stop <= 54


@pytest.mark.parametrize("logit_size", [64, 32])
def test_logits_in_the_padding_show_nothing(logit_size):
    """80 x 100 pixels fill 51 of 64 rows; coarser logits end within a row, which still shows some of the image."""
    shown = -(-51 * logit_size // 64)
    logits = np.full((logit_size, logit_size), -4.0)
    logits[shown:] = 4
    assert decode(Says(logits, logit_size=logit_size), WHOLE, AROUND_SQUARE) == []

    (found,) = decode(Says(-logits, logit_size=logit_size), WHOLE, AROUND_SQUARE)
    assert painted(found).all()


def test_prompts_are_input_pixels_of_the_window_and_do_not_leave_it():
    model = FakeModel()
    window = Window(20, 10, 60, 50)  # 40 pixels become 64
    decode(model, window, [AROUND_SQUARE, [0, 20, 30, 80], [20, 10, 60, 50]])
    (prompts,) = model.prompts
    assert prompts.dtype == np.float32
    expected = np.array([[5, 5, 35, 35], [0, 10, 10, 40], [0, 0, 40, 40]]) * 1.6
    np.testing.assert_allclose(prompts, expected, rtol=1e-6)


def test_a_box_partly_outside_a_window_has_its_part_inside():
    image = np.full((HEIGHT, WIDTH), 200, np.uint8)
    image[:, :30] = 0
    (found,) = decode(FakeModel(), Window(20, 10, 60, 50), [50, 40, 90, 70], image)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[40:50, 50:60] = True
    assert np.count_nonzero(painted(found) != expected) <= 20  # the border, to half an input pixel
    assert not painted(found)[:, 60:].any()
    assert not painted(found)[50:].any()


def test_objects_without_a_mask_are_left_out_and_the_others_keep_their_numbers():
    beside = [60.0, 50.0, 90.0, 70.0]
    found = decode(FakeModel(), WHOLE, [beside, AROUND_SQUARE, beside, AROUND_SQUARE])
    assert [each.label for each in found] == [2, 4]


def test_tight_box_goes_by_the_edges_of_positive_pixels():
    logits = np.full((5, 6), -1.0, np.float32)
    logits[1, 2] = logits[3, 4] = 0.5
    logits[0, 0] = 0  # not positive
    region = Region(Span(10, 15), Span(40, 46))
    assert tight_box(ObjectLogits(1, logits, region)).tolist() == [42, 11, 45, 14]
    assert tight_box(ObjectLogits(1, np.minimum(logits, 0), region)) is None
