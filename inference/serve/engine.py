"""One thread that uses the models: for one request after the other, in the order in which they came.

Where no request waits it encodes ahead: the slices around the one that a user looked at last, the nearest first. What
it keeps of them is the embeddings of the whole slice, which large boxes ask for; a small box is seen through a window
of its own, whose slices are encoded when they are needed.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from ..arrays import Array
from ..cases.case import Case
from ..cases.slice_axis import with_axis_first
from ..errors import CaseError
from ..model.pair import Embeddings, ModelPair
from ..options import FIND, GIVEN, Options
from ..segment.following import follows
from ..segment.memory import Share
from ..segment.objects import encode_window
from ..segment.plan import plan_within
from ..segment.sweep import sweep
from ..segment.zoom import Window
from ..stopping import leave_signals_to_the_main_thread
from .image import Image
from .limits import Limits
from .mask import Found
from .refused import Refused
from .region import Region, tight, whole, within
from .room import Key, Room

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """A slice of an image."""

    image: Image
    axis: int
    z: int

    @property
    def volume(self) -> Array:
        """The image with its slices in front, (D, H, W)."""
        return np.moveaxis(self.image.grey, self.axis, 0)

    @property
    def window(self) -> Window:
        """All of the slice."""
        height, width = self.volume.shape[1:]
        return Window(0, 0, width, height)

    @property
    def key(self) -> Key:
        """Under which embeddings of the slice are kept."""
        return self.image.number, self.axis, self.z


class Ahead(NamedTuple):
    """What is encoded next of an image, by its number."""

    number: int
    places: Iterator[Place]


NOTHING_AHEAD = Ahead(0, iter(()))


class Engine:
    """Segments boxes on images."""

    def __init__(self, model: ModelPair, room: Room, lanes: int, limits: Limits) -> None:
        """Start the thread, and the loading of the models.

        Args:
            lanes: slices of a volume in work at once.
        """
        self.room = room
        self.can_follow = follows(Options(), model.metadata)
        self._model, self._lanes, self._limits = model, lanes, limits
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._ahead: Ahead = NOTHING_AHEAD
        model.prepare(lanes, self.can_follow)
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread once what is being done is done."""
        self._jobs.put(None)
        self._thread.join()

    async def run(self, work: Callable[[], T]) -> T:
        """Have something done on the engine's thread when its turn comes.

        Raises:
            Refused: its turn does not come in time. And whatever `work` raises.
        """
        loop, started = asyncio.get_running_loop(), asyncio.Event()
        future = self._submit(work, lambda: loop.call_soon_threadsafe(started.set))
        try:
            await asyncio.wait_for(started.wait(), self._limits.turn_seconds)
        except TimeoutError as error:
            if future.cancel():
                raise Refused(503, "the server is busy with other requests; try again") from error
        return await asyncio.wrap_future(future)

    def warm_up(self) -> None:
        """Use the models once, on an image of nothing.

        Raises:
            SetupError: they cannot be loaded.
        """
        nothing = Image(np.zeros((3, 32, 32), np.uint8), 0, 0)
        self._submit(lambda: self.find(nothing, whole(nothing.shape), False), lambda: None).result()

    def welcome(self, image: Image) -> None:
        """Begin to encode an image, from its middle on. From any thread."""
        self.room.admit(image.number)
        axis = image.slices_across
        self._look_at(Place(image, axis, image.shape[axis] // 2))
        self._jobs.put(lambda: None)  # it may be waiting for one

    def forget(self, image: Image) -> None:
        """Keep nothing of an image. From any thread."""
        if self._ahead.number == image.number:
            self._ahead = NOTHING_AHEAD
        self.room.forget(image.number)

    def find(self, image: Image, box: Region, through: bool) -> Found:
        """Segment what a box holds. On the engine's thread.

        Args:
            box: of one slice, or of several; then it holds all of an object.
            through: whether the object of a box of one slice is followed from there to its ends.

        Returns:
            The same voxels that `Predictor.segment` gives for the image and this box alone.

        Raises:
            Refused: it does not fit in memory, or takes too long.
        """
        axis = _axis(box, image.slices_across)
        place = Place(image, axis, (box[axis].start + box[axis].stop - 1) // 2)
        self._look_at(place)
        case = _case(place, box)
        to_find = through and self.can_follow and box[axis].stop - box[axis].start == 1
        options = Options(extent=FIND if to_find else GIVEN, box_batch=1)
        share = Share(self._lanes, 1, self.room.left + image.grey.nbytes)  # the image is held already
        try:
            plan = plan_within(share, case, self._model.metadata, options)
        except CaseError as error:
            raise Refused(413, str(error)) from error
        with self.room.reserved("the segmentation", share.case_bytes - plan.kept_bytes - image.grey.nbytes):
            self._model.prepare(plan.lanes, plan.follow)
            segs = np.zeros(case.shape, np.uint8)
            plan = replace(plan, kept_bytes=0)  # an object alone visits no window of a slice twice
            sweep(case, plan, self._model, segs, self._in_time(), partial(self._encode, image, axis))
            first, last = (int(ends[0]) for ends in (plan.extents.first, plan.extents.last))
            return _found(segs, axis, first, last + 1)

    def _submit(self, work: Callable[[], T], on_start: Callable[[], object]) -> Future[T]:
        """Have something done on the engine's thread, unless the future is cancelled before."""
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            on_start()
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        self._jobs.put(job)
        return future

    def _look_at(self, place: Place) -> None:
        depth = place.image.shape[place.axis]
        places = (replace(place, z=near) for near in nearest_first(place.z, depth))
        self._ahead = Ahead(place.image.number, places)

    def _in_time(self) -> Callable[[float], None]:
        ends = time.monotonic() + self._limits.segment_seconds

        def check(_: float) -> None:
            if time.monotonic() > ends:
                raise Refused(504, f"the segmentation took longer than {self._limits.segment_seconds:g} s")

        return check

    def _encode(self, image: Image, axis: int, z: int, window: Window) -> Embeddings:
        """Embeddings of a window of a slice, kept if it is all of it. Any lane calls this."""
        place = Place(image, axis, z)
        is_whole = window == place.window
        kept = self.room.kept(place.key) if is_whole else None
        if kept:
            return kept
        embeddings = encode_window(self._model, place.volume[z], window)
        if is_whole:
            self.room.keep(place.key, [part.copy() for part in embeddings])
        return embeddings

    def _encode_ahead(self, place: Place) -> None:
        if not self.can_follow or self.room.kept(place.key):
            return
        if not self.room.has_room_for_more():
            self._ahead = NOTHING_AHEAD
            return
        self._model.prepare(self._lanes, self.can_follow)
        self._encode(place.image, place.axis, place.z, place.window)

    def _work(self) -> None:
        leave_signals_to_the_main_thread()
        while job := self._next_job():
            job()

    def _next_job(self) -> Callable[[], object] | None:
        """The next request; until one is there, encode ahead."""
        while True:
            try:
                return self._jobs.get_nowait()
            except queue.Empty:
                place = next(self._ahead.places, None)
                if place is None:
                    return self._jobs.get()
                try:
                    self._encode_ahead(place)
                except Exception:  # whoever asks next meets it too, and is told
                    self._ahead = NOTHING_AHEAD


def nearest_first(z: int, depth: int) -> Iterator[int]:
    """All of 0..depth-1, those near `z` first."""
    yield z
    for distance in range(1, depth):
        for near in (z + distance, z - distance):
            if 0 <= near < depth:
                yield near


def _axis(box: Region, slices_across: int) -> int:
    """Across which axis the slices lie that a box is meant for: a box of one slice lies in it."""
    flat = [axis for axis, part in enumerate(box) if part.stop - part.start == 1]
    return slices_across if slices_across in flat or not flat else flat[0]


def _case(place: Place, box: Region) -> Case:
    """The case of one object; of an image of one slice a 2D one."""
    (z0, z1), (y0, y1), (x0, x1) = ((part.start, part.stop - 1) for part in box)
    boxes = with_axis_first(np.array([[x0, y0, z0, x1, y1, z1]], np.float64), place.axis)
    volume = place.volume
    return Case(volume, boxes, len(volume) > 1, np.ones(1, np.bool_))


def _found(segs: Array, axis: int, first: int, last: int) -> Found:
    """What is not 0 between two slices of a label map (D, H, W), in the axes of the image."""
    visited = np.moveaxis(segs[first:last], 0, axis)
    inner = tight(visited)
    if inner is None:
        return Found(None, np.zeros((0, 0, 0), np.bool_))
    frame = list(whole(visited.shape))
    frame[axis] = slice(first, last)
    return Found(within(inner, tuple(frame)), visited[inner] > 0)
