"""The executor: a plan carried out with a model that finds what is bright in a box."""

from dataclasses import replace

import numpy as np
import pytest

from inference.cases.case import make_case
from inference.options import FLATTEN, PROPAGATE, Options
from inference.segment.plan import make_plan
from inference.segment.prompts import MARGIN
from inference.segment.segment_case import segment_case
from inference.segment.sweep import sweep
from tests.support.fake_model import FakeModel

MEMORY = 8 * 2**30


def disc(radius, centre, size=64):
    y, x = np.mgrid[:size, :size]
    return (np.hypot(x - centre[0], y - centre[1]) <= radius).astype(np.uint8) * 200


# An object that grows to the middle slice and shrinks again, and drifts to the right.
VOLUME = np.stack([disc(3 + 2 * min(z, 8 - z), (24 + z, 30)) for z in range(9)])
BOX = [10, 12, 0, 46, 48, 8]


def segment(case, model=None, **choices):
    return segment_case(case, model or FakeModel(), Options(**{"zoom": False, **choices}), MEMORY).segs


@pytest.mark.parametrize("strategy", [FLATTEN, PROPAGATE])
@pytest.mark.parametrize("threads", [1, 2])
def test_finds_the_object_on_every_slice_of_its_box_and_on_no_other(strategy, threads):
    case = make_case(VOLUME, np.array([[10, 12, 1, 46, 48, 7]]))
    segs = segment(case, FakeModel(threads), strategy=strategy)
    np.testing.assert_array_equal(segs[1:8], VOLUME[1:8] // 200)
    assert not segs[[0, 8]].any()


def test_each_slice_is_prompted_by_the_mask_of_the_one_before():
    model = FakeModel()
    segment(make_case(VOLUME, np.array([BOX])), model, strategy=PROPAGATE)
    widths = sorted(float(box[2] - box[0]) for boxes in model.prompts for box in boxes)
    assert widths[-1] == 36  # the given box, on the middle slice
    margins = 2 * MARGIN * 64
    assert widths[0] == pytest.approx(11 + margins)  # the mask of slice 1 or 7 (radius 5), on slice 0 or 8
    flat = FakeModel()
    segment(make_case(VOLUME, np.array([BOX])), flat, strategy=FLATTEN)
    assert {float(box[2] - box[0]) for boxes in flat.prompts for box in boxes} == {36}


def test_the_margin_is_a_share_of_the_image_whatever_the_input_size():
    for input_size in (64, 128, 256):
        model = FakeModel(input_size=input_size)
        segment(make_case(VOLUME, np.array([BOX])), model, strategy=PROPAGATE)
        narrowest = min(float(box[2] - box[0]) for boxes in model.prompts for box in boxes) * 64 / input_size
        assert narrowest == pytest.approx(11 + 2 * MARGIN * 64, abs=1e-3)


def test_after_an_empty_mask_the_given_box_prompts_again():
    volume = VOLUME.copy()
    volume[6] = 0
    segs = segment(make_case(volume, np.array([BOX])), strategy=PROPAGATE)
    np.testing.assert_array_equal(segs, volume // 200)


def test_a_window_of_a_slice_is_encoded_once_where_sweeps_meet():
    boxes = np.array([[10, 12, 0, 46, 48, 4], [10, 12, 2, 46, 48, 8]])
    model = FakeModel()
    case = make_case(VOLUME, boxes)
    kept = segment(case, model, strategy=PROPAGATE)
    assert len(model.passes) == 9

    plan = make_plan(case, model.metadata, Options(zoom=False), MEMORY, 2)
    again, model = np.zeros_like(kept), FakeModel()
    sweep(case, replace(plan, kept_bytes=0), model, again, lambda fraction: None)
    assert len(model.passes) > 9
    np.testing.assert_array_equal(again, kept)


def test_every_visit_to_a_slice_sees_the_same_whichever_lane_comes_first():
    seen = []

    class Seeing(FakeModel):
        def say(self, block):
            seen.append(block.embeddings[0].copy())
            return super().say(block)

    volume = np.random.default_rng(0).integers(0, 256, (9, 64, 64), np.uint8)
    boxes = np.array([[10, 12, 0, 46, 48, 4], [10, 12, 2, 46, 48, 8]])
    segment(make_case(volume, boxes), Seeing(), strategy=PROPAGATE)
    by_slice = {embedding.astype(np.float16).tobytes(): set() for embedding in seen}
    for embedding in seen:
        by_slice[embedding.astype(np.float16).tobytes()].add(embedding.tobytes())
    assert (len(seen) > 9, len(by_slice)) == (True, 9)
    assert {len(versions) for versions in by_slice.values()} == {1}


@pytest.mark.parametrize("strategy", [FLATTEN, PROPAGATE])
@pytest.mark.parametrize("box_batch", [2, 3])
def test_blocks_change_nothing(strategy, box_batch):
    rng = np.random.default_rng(0)
    low = rng.integers(0, [40, 40, 5], (40, 3))
    boxes = np.concatenate([low, low + rng.integers([5, 5, 0], [24, 24, 4], (40, 3))], axis=1)
    case = make_case(VOLUME, boxes)
    np.testing.assert_array_equal(
        segment(case, strategy=strategy, box_batch=box_batch), segment(case, strategy=strategy, box_batch=1)
    )


def test_windows_are_encoded_while_objects_on_others_are_still_decoded():
    """The engine takes blocks ahead, and writes over its embeddings with each image that it encodes."""

    class Ahead(FakeModel):
        own = np.zeros((1, 3, 64, 64), np.float32)

        def encode(self, image):
            self.own[:] = super().encode(image)[0]
            return [self.own]

        def decode(self, blocks):
            return super().decode(list(blocks))

    image = np.random.default_rng(0).integers(0, 2, (400, 400), np.uint8).repeat(8, 0).repeat(8, 1)[:400, :400] * 200
    low = np.array([(x, y) for x in (20, 220, 360) for y in (10, 200, 350)])
    case, model = make_case(image, np.concatenate([low, low + 30], axis=1)), Ahead()
    segs = segment(case, model, zoom=True)
    assert (len(model.passes), len(np.unique(segs))) == (4, 10)
    np.testing.assert_array_equal(segs, segment(case, zoom=True))


def test_progress_rises_to_one():
    fractions = []
    case = make_case(VOLUME, np.array([BOX]))
    segment_case(case, FakeModel(), Options(zoom=False), MEMORY, fractions.append)
    assert fractions == [step / 9 for step in range(1, 10)]


def test_objects_without_a_usable_box_stay_empty_and_others_are_found():
    case = make_case(VOLUME, np.array([BOX, BOX]))
    segs = segment(replace(case, usable=np.array([False, True])))
    np.testing.assert_array_equal(segs, VOLUME // 200 * 2)


@pytest.mark.parametrize("box", [[30, 30, 30, 30], [30, 20, 30, 40], [20, 30, 40, 30]])
def test_a_box_one_pixel_wide_or_high_has_its_pixels(box):
    image = np.zeros((64, 64), np.uint8)
    image[box[1] : box[3] + 1, box[0] : box[2] + 1] = 200
    case = make_case(image, np.array([box, [0, 0, 63, 63]]))
    segs = segment(case, FakeModel(box_convention="xyxy_pixel_edges"))
    assert (segs == 1).sum() == image.astype(bool).sum()  # smaller than the other box, it lies in front


@pytest.mark.parametrize("shape", [(64, 64), (50, 64), (47, 31), (300, 170)])
def test_logits_coarser_than_the_input_show_the_same_place(shape):
    """MedSAM ViT-B: 256 x 256 logits of a 1024 x 1024 input."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = ((x < 0.6 * shape[1]) & (y > 0.3 * shape[0])).astype(np.uint8) * 200
    box = np.array([[0, 0, shape[1] - 1, shape[0] - 1]])
    fine = segment(make_case(image, box), FakeModel(input_size=256))
    coarse = segment(make_case(image, box), FakeModel(input_size=256, logit_size=64))
    assert fine.any()
    # The border may move by half a logit: 2 px of the input, along each side.
    pixel = max(shape) / 64
    assert np.count_nonzero(fine != coarse) <= 0.75 * pixel * (0.6 * shape[1] + 0.7 * shape[0])
