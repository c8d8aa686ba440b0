"""The thread that uses the models: the masks of `segment_case`, whose turn it is, what is encoded ahead, and limits."""

import asyncio
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from inference.cases.case import make_case
from inference.cases.slice_axis import with_axis_first
from inference.model.metadata import PIXEL_EDGES
from inference.options import FIND, GIVEN, Options
from inference.segment.segment_case import segment_case
from inference.serve.engine import Engine, nearest_first
from inference.serve.image import Image, image_bytes
from inference.serve.limits import Limits
from inference.serve.refused import Refused
from inference.serve.region import region
from inference.serve.room import Room
from tests.support.fake_model import FakeFollower, FakeModel
from tests.support.served import BOX, MB, OBJECT, ORDINARY, SHAPE, volume

MEMORY = 8 * 2**30


def image_of(grey: np.ndarray, slices_across: int = 0, number: int = 7) -> Image:
    return Image(grey, slices_across, number)


def engine_of(model=None, room: int = 64 * MB, limits: Limits = ORDINARY):
    return closing(Engine(model or FakeFollower(box_convention=PIXEL_EDGES), Room(room), 2, limits))


def on_thread(engine: Engine, work):
    return asyncio.run(engine.run(work))


def box_of(intervals):
    return region(*zip(*intervals, strict=True))


def mask_of(found, shape) -> np.ndarray:
    mask = np.zeros(shape, np.bool_)
    if found.region:
        mask[found.region] = found.values
        assert found.values.any(axis=(0, 1)).all()  # it is tight
    return mask


def wait_for(condition) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.002)


BOXES = {"2D": BOX, "3D": [[4, 8], [16, 44], [26, 64]]}


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("drawn", BOXES)
@pytest.mark.parametrize("through", [True, False])
def test_a_box_finds_what_it_finds_elsewhere(axis, drawn, through):
    """Slices along any axis; a 2D box lies in a slice, whichever axis slices lie across otherwise."""
    order = [1, 2]
    order.insert(axis, 0)
    grey = np.moveaxis(volume(), 0, axis)
    box = [BOXES[drawn][i] for i in order]
    slices_across = axis if drawn == "3D" else (axis + 1) % 3
    x, y, z = ([low, high - 1] for low, high in box[::-1])
    table = with_axis_first(np.array([[x[0], y[0], z[0], x[1], y[1], z[1]]], float), axis)
    case, options = make_case(np.moveaxis(grey, axis, 0), table), Options(extent=FIND if through else GIVEN)
    expected = segment_case(case, FakeFollower(box_convention=PIXEL_EDGES), options, MEMORY).segs
    with engine_of() as engine:
        found = on_thread(engine, lambda: engine.find(image_of(grey, slices_across), box_of(box), through))
    mask = mask_of(found, grey.shape)
    np.testing.assert_array_equal(np.moveaxis(mask, axis, 0), expected == 1)
    assert mask.any(axis=tuple(other for other in range(3) if other != axis)).sum() == {
        "2D": {True: OBJECT[0].stop - OBJECT[0].start, False: 1}[through], "3D": 4
    }[drawn]  # fmt: skip


@pytest.mark.parametrize("axis", [0, 1])
def test_an_image_of_one_slice_is_a_2d_case(axis):
    grey = np.expand_dims(volume()[5], axis)
    box = BOX[1:]
    box.insert(axis, [0, 1])
    model = FakeFollower(box_convention=PIXEL_EDGES)
    with engine_of(model) as engine:
        found = on_thread(engine, lambda: engine.find(image_of(grey), box_of(box), True))
    expected = segment_case(
        make_case(volume()[5], np.array([[26, 16, 63, 43]])), FakeModel(box_convention=PIXEL_EDGES), Options(), MEMORY
    ).segs
    np.testing.assert_array_equal(mask_of(found, grey.shape).squeeze(axis), expected == 1)
    assert model.steps == []  # it was not followed


def test_a_model_that_cannot_follow_answers_on_the_slice():
    with engine_of(FakeModel(box_convention=PIXEL_EDGES)) as engine:
        assert not engine.can_follow
        found = on_thread(engine, lambda: engine.find(image_of(volume()), box_of(BOX), True))
    assert found.region[0] == slice(5, 6)


def test_nothing_found_is_no_region():
    with engine_of() as engine:
        found = on_thread(engine, lambda: engine.find(image_of(np.zeros(SHAPE, np.uint8)), box_of(BOX), True))
    assert found.region is None


def test_slices_are_encoded_ahead_the_nearest_first_while_there_is_room():
    size = FakeFollower().encode(np.zeros((1, 3, 64, 64), np.float32))[0].nbytes
    image = image_of(volume())
    with engine_of(room=5 * size + 100) as engine:
        engine.welcome(image)
        wait_for(lambda: engine.room.kept_bytes == 5 * size)
        kept = [z for z in range(SHAPE[0]) if engine.room.kept((7, 0, z))]
        assert kept == sorted(list(nearest_first(6, SHAPE[0]))[:5]) == [4, 5, 6, 7, 8]
        engine.forget(image)
        assert engine.room.kept_bytes == 0


def test_what_was_encoded_ahead_is_not_encoded_again():
    model, image = FakeFollower(box_convention=PIXEL_EDGES), image_of(volume())
    large = [[5, 6], [6, 64], [6, 80]]  # seen on the whole slice
    with engine_of(model) as engine:
        before = mask_of(on_thread(engine, lambda: engine.find(image, box_of(large), True)), SHAPE)
        engine.welcome(image)
        wait_for(lambda: all(engine.room.kept((7, 0, z)) for z in range(SHAPE[0])))
        passes = len(model.passes)
        after = mask_of(on_thread(engine, lambda: engine.find(image, box_of(large), True)), SHAPE)
        assert len(model.passes) == passes
    assert before.any()
    np.testing.assert_array_equal(after, before)


class Stepwise(FakeFollower):
    """Encodes when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.permits = threading.Semaphore(0)

    def encode(self, image):
        self.permits.acquire()
        return super().encode(image)


def test_a_request_comes_before_what_is_encoded_ahead():
    model = Stepwise()
    with engine_of(model) as engine:
        engine.welcome(image_of(volume()))
        model.permits.release(2)
        wait_for(lambda: len(model.passes) == 2)  # a third is under way

        async def ask() -> int:
            task = asyncio.create_task(engine.run(lambda: len(model.passes)))
            await asyncio.sleep(0.01)
            model.permits.release(1)
            return await task

        assert asyncio.run(ask()) == 3
        model.permits.release(100)


def test_whose_turn_does_not_come_is_told_so():
    blocked, ran = threading.Event(), []
    with engine_of(limits=Limits(turn_seconds=0.05)) as engine:

        async def ask() -> None:
            first = asyncio.create_task(engine.run(blocked.wait))
            await asyncio.sleep(0.01)
            with pytest.raises(Refused, match="busy with other requests") as refused:
                await engine.run(lambda: ran.append("second"))
            assert refused.value.status == 503
            blocked.set()
            assert await first
            assert await engine.run(lambda: "third") == "third"

        asyncio.run(ask())
    assert ran == []


def test_what_takes_too_long_is_stopped():
    with engine_of(limits=Limits(segment_seconds=0)) as engine:
        with pytest.raises(Refused, match="took longer than 0 s") as refused:
            on_thread(engine, lambda: engine.find(image_of(volume()), box_of(BOX), True))
        assert refused.value.status == 504
        assert engine.room.held == 0


def test_what_does_not_fit_is_refused_and_a_fault_costs_nothing_more():
    image = image_of(volume())
    with engine_of(room=50_000) as engine:
        with pytest.raises(Refused, match="a case of 12 x 64 x 80 voxels needs 2 MB of memory") as refused:
            on_thread(engine, lambda: engine.find(image, box_of(BOX), True))
        assert refused.value.status == 413
        assert engine.room.held == 0

    class Broken(FakeFollower):
        def follow(self, *arguments):
            raise ValueError("secret")

    with engine_of(Broken()) as engine:
        with pytest.raises(ValueError, match="secret"):
            on_thread(engine, lambda: engine.find(image, box_of(BOX), True))
        assert engine.room.held == 0


def test_an_image_is_held_with_all_that_is_made_of_it():
    assert image_of(volume()).held_bytes == image_bytes(12 * 64 * 80) == 12 * 64 * 80 * 9 // 4
