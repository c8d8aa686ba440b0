"""Objects that a volume decoder follows: what is handed on from slice to slice, and where those end that are found."""

from dataclasses import replace

import numpy as np
import pytest

from inference.cases.case import make_case
from inference.errors import SetupError
from inference.options import FIND, FLATTEN, LATER, SIZE, Options
from inference.segment import prompts
from inference.segment import sweep as sweep_module
from inference.segment.memory import COSTS
from inference.segment.plan import make_plan
from inference.segment.prompts import MARGIN_FOUND, MARGIN_GIVEN
from inference.segment.segment_case import segment_case
from tests.support.fake_model import FakeFollower, FakeModel

MEMORY = 8 * 2**30
DEPTH, SIDE = 11, 64
ZEROS = (0.0,) * 4


def bright(*objects):
    """A volume, dark but for some blocks `x0, y0, z0, x1, y1, z1`, whose last voxel belongs to them."""
    volume = np.zeros((DEPTH, SIDE, SIDE), np.uint8)
    for x0, y0, z0, x1, y1, z1 in objects:
        volume[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1] = 200
    return volume


def segment(case, model, on_step=lambda fraction: None, **choices):
    return segment_case(case, model, Options(**{"zoom": False, **choices}), MEMORY, on_step).segs


LEFT, RIGHT = (8, 10, 2, 25, 30, 7), (40, 20, 3, 55, 45, 9)
CASE = make_case(bright(LEFT, RIGHT), np.array([[6, 8, 1, 28, 33, 9], [38, 18, 3, 58, 48, 10]]))
ROOMY = make_case(CASE.volume, CASE.boxes - np.array([4, 5, 0, 0, 0, 0]))  # wider on two sides than the objects
MARKED = make_case(CASE.volume, np.array([[6, 8, 4, 28, 33, 4], [38, 18, 8, 58, 48, 8]]))
SEGS = bright(LEFT) // 200 + bright(RIGHT) // 200 * 2


class TestGivenExtents:
    def test_each_object_is_on_each_of_its_slices_once(self):
        model = FakeFollower()
        np.testing.assert_array_equal(segment(CASE, model), SEGS)
        assert len(model.steps) == len(set(model.steps)) == 9 + 8
        assert model.prompts == []

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_state_goes_from_slice_to_slice_both_ways_from_that_of_the_middle(self, threads):
        model = FakeFollower(threads)
        segment(CASE, model)
        for step in model.steps:
            assert step.count == step.place[2]
            assert step.last_box == (step.box if step.count else ZEROS)
        for box, last, start in ((CASE.boxes[0], 8, 4), (CASE.boxes[1], 7, 3)):
            of_object = [step for step in model.steps if step.box == tuple(box[[0, 1, 3, 4]])]
            places = {tuple(map(float, (down, last - down, abs(down - start)))) for down in range(last + 1)}
            assert {step.place for step in of_object} == places

    def test_the_given_box_may_prompt_every_slice(self, monkeypatch):
        monkeypatch.setattr(prompts, "FOLLOWED_BOX", prompts.GIVEN_BOX)
        model = FakeFollower()
        segment(ROOMY, model)
        assert {step.box for step in model.steps} == {tuple(box[[0, 1, 3, 4]]) for box in ROOMY.boxes}

    def test_presence_ends_nothing(self):
        np.testing.assert_array_equal(segment(CASE, FakeFollower(lasts=1)), SEGS)

    def test_the_box_is_that_around_the_last_mask_within_the_given_one_and_that_after_an_empty_mask(self, monkeypatch):
        monkeypatch.setattr(prompts, "FOLLOWED_BOX", prompts.LAST_MASK)
        model = FakeFollower()
        volume = ROOMY.volume.copy()
        volume[6] = 0
        segs = segment(make_case(volume, ROOMY.boxes), model)
        np.testing.assert_array_equal(segs, SEGS * (volume > 0))
        margin = MARGIN_GIVEN * SIDE
        given, around = (2, 3, 28, 33), (8 - margin, 10 - margin, 28, 33)
        left = {step.place[0] + 1: step.box for step in model.steps if step.box[2] < 32}
        assert [left[z] for z in (5, 4, 3, 2, 1)] == [given, around, around, around, around]
        assert [left[z] for z in (6, 7, 8, 9)] == [around, given, around, given]  # slices 6 and 8 are empty


class TestFoundExtents:
    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("overlap", [LATER, SIZE])
    def test_objects_end_where_they_have_no_mask(self, threads, overlap):
        model = FakeFollower(threads)
        np.testing.assert_array_equal(segment(MARKED, model, extent=FIND, overlap=overlap), SEGS)
        assert len(model.steps) == (6 + 2) + (7 + 2)  # and the first slice without a mask on either side
        assert len(model.passes) == 10  # slices 1 to 10
        assert {step.place[:2] for step in model.steps} == {(-1, -1)}
        assert all(step.count == step.place[2] for step in model.steps)

    def test_objects_end_where_they_are_not_present(self):
        segs = segment(MARKED, FakeFollower(lasts=2), extent=FIND)
        expected = SEGS * np.isin(np.arange(DEPTH), [3, 4, 5])[:, None, None] * (SEGS == 1)
        expected += SEGS * np.isin(np.arange(DEPTH), [7, 8, 9])[:, None, None] * (SEGS == 2)
        np.testing.assert_array_equal(segs, expected)

    def test_objects_are_present_where_they_were_marked(self):
        segs = segment(MARKED, FakeFollower(lasts=0), extent=FIND)
        expected = SEGS * (np.arange(DEPTH) == 4)[:, None, None] * (SEGS == 1)
        expected += SEGS * (np.arange(DEPTH) == 8)[:, None, None] * (SEGS == 2)
        np.testing.assert_array_equal(segs, expected)

    def test_objects_end_with_the_volume(self):
        whole = (8, 10, 0, 25, 30, DEPTH - 1)
        for z in (0, 5, DEPTH - 1):
            case = make_case(bright(whole), np.array([[6, 8, z, 28, 33, z]]))
            np.testing.assert_array_equal(segment(case, FakeFollower(), extent=FIND), case.volume // 200)

    def test_an_object_may_grow_out_of_its_box(self):
        volume = np.stack([bright((20 - z, 20, z, 40 + z, 40, z))[z] for z in range(DEPTH)])
        case = make_case(volume, np.array([[19, 19, 0, 41, 41, 0]]))
        np.testing.assert_array_equal(segment(case, FakeFollower(), extent=FIND), volume // 200)

    def test_the_box_is_that_around_the_last_mask(self):
        model = FakeFollower()
        segment(MARKED, model, extent=FIND)
        margin = MARGIN_FOUND * SIDE
        left = {step.box for step in model.steps if step.box[2] < 32}
        assert left == {(6, 8, 28, 33), (8 - margin, 10 - margin, 26 + margin, 31 + margin)}

    def test_an_object_that_is_not_on_its_slice_stays_empty_and_others_are_found(self):
        case = make_case(bright(LEFT), np.array([[38, 18, 8, 58, 48, 8], *MARKED.boxes[:1]]))
        model = FakeFollower()
        np.testing.assert_array_equal(segment(case, model, extent=FIND), bright(LEFT) // 200 * 2)
        assert len(model.steps) == 1 + 8

    def test_objects_whose_extent_is_given_keep_it(self):
        case = make_case(CASE.volume, np.stack([MARKED.boxes[0], CASE.boxes[1]]))
        model = FakeFollower()
        np.testing.assert_array_equal(segment(case, model, extent=FIND), SEGS)
        assert len(model.steps) == 8 + 8
        only_marked = segment(MARKED, FakeFollower())
        assert only_marked.any(axis=(1, 2)).nonzero()[0].tolist() == [4, 8]

    def test_progress_rises_to_one_though_visits_are_passed_by(self):
        fractions = []
        segment(MARKED, FakeFollower(), fractions.append, extent=FIND)
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1

    def test_what_is_kept_for_visits_that_are_passed_by_is_given_back(self, monkeypatch):
        """The first object ends before the sweep from the second one, or that from the first, comes along."""
        boxes = np.concatenate([MARKED.boxes, MARKED.boxes + np.array([0, 0, 1, 0, 0, 1])])
        case = make_case(MARKED.volume, boxes)
        sweeps = []

        class Watched(sweep_module._Sweep):
            def __init__(self, *arguments) -> None:
                super().__init__(*arguments)
                sweeps.append(self)

        monkeypatch.setattr(sweep_module, "_Sweep", Watched)
        for lasts in (1, 2, 3, np.inf):
            model = FakeFollower(lasts=lasts)
            segs = segment(case, model, extent=FIND)
            plan = make_plan(case, model.metadata, Options(zoom=False, extent=FIND), MEMORY, 2)
            work = sweeps.pop()
            assert (work.embeddings, work.canvases, work.room) == ({}, {}, plan.kept_bytes)
            assert not work.visits_left.total()
            assert not work.views_left.total()

            again, model = np.zeros_like(segs), FakeFollower(lasts=lasts)
            model.prepare(plan.lanes, follow=True)
            sweep_module.sweep(case, replace(plan, kept_bytes=0), model, again, lambda fraction: None)
            np.testing.assert_array_equal(again, segs)
            sweeps.clear()


def test_a_window_of_a_slice_is_encoded_once():
    boxes = np.concatenate([CASE.boxes, MARKED.boxes])
    for extent in ("given", FIND):
        model = FakeFollower()
        segment(make_case(CASE.volume, boxes), model, extent=extent)
        assert len(model.passes) == 10  # slices 1 to 10


def test_only_volumes_that_are_propagated_are_followed():
    image = make_case(CASE.volume[4], np.array([[6, 8, 28, 33]]))
    for case, choices in ((image, {"extent": FIND}), (image, {}), (CASE, {"strategy": FLATTEN})):
        model = FakeFollower()
        np.testing.assert_array_equal(segment(case, model, **choices), segment(case, FakeModel(), **choices))
        assert model.prepared is False
        assert model.steps == []


def test_a_model_that_follows_nothing_finds_no_extents():
    with pytest.raises(SetupError, match=r"volume_decoder\.onnx"):
        segment(MARKED, FakeModel(), extent=FIND)
    image = make_case(CASE.volume[4], np.array([[6, 8, 28, 33]]))
    assert segment(image, FakeModel(), extent=FIND).any()


def test_states_are_in_the_plan_of_the_memory():
    plain = make_plan(CASE, FakeModel().metadata, Options(zoom=False), MEMORY, 2)
    following = make_plan(CASE, FakeFollower().metadata, Options(zoom=False), MEMORY, 2)
    cost = COSTS["light"]
    states = 2 * 3 * cost.state  # objects; their start and two sweeps
    assert plain.kept_bytes - following.kept_bytes == cost.volume_decoder + states
