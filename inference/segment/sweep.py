"""The executor: carries out the plan of a case, slice by slice, and paints its label map.

A window of a slice is encoded once, even where both sweeps, or a sweep and a start, meet on it; and not at all where no
object on it is left.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..cases.case import Case
from ..model.pair import Embeddings, ModelPair
from .lanes import Lanes
from .objects import encode_window
from .paint import Canvas, advantages
from .plan import Plan
from .prompts import Encoded, Prompts, first_prompts
from .route import Chain, View
from .zoom import Window

Encode = Callable[[int, Window], Embeddings]


class Kept(NamedTuple):
    """Embeddings that are needed again.

    Attributes:
        halves: float16, whose error is below that of bf16 arithmetic; those that are bf16 stay as they are.
        dtype: that they had, and are to have again.
    """

    halves: Embeddings
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(half.nbytes for half in self.halves)


def sweep(
    case: Case,
    plan: Plan,
    model: ModelPair,
    segs: Array,
    on_step: Callable[[float], None],
    encode: Encode | None = None,
) -> None:
    """Segment all objects of a case, painting `segs` (D, H, W) in place.

    Args:
        on_step: called with the finished fraction, 0..1, after every visit.
        encode: gives the embeddings of a window of a slice, where they may be there already; called by any thread.
    """
    work = _Sweep(plan, segs, encode or (lambda z, window: encode_window(model, case.volume[z], window)))
    with Lanes(plan.lanes, sum(1 for _ in plan.route.visits), on_step) as lanes:
        prompts = first_prompts(plan, model)
        lanes.run(work.walk(chain, prompts) for chain in plan.route.starts)
        lanes.run(work.walk(chain, prompts.fork()) for chain in plan.route.sweeps)


class _Sweep:
    """Segments slices on any thread; keeps what a later visit to the same slice needs, until then."""

    def __init__(self, plan: Plan, segs: Array, encode: Encode) -> None:
        self.plan, self.segs, self.encode = plan, segs, encode
        self.advantage = advantages(plan.overlap, plan.prompts)
        # Visits to come: to each slice, and to each window of a slice.
        self.visits_left = Counter(visit.z for visit in plan.route.visits)
        self.views_left = Counter((visit.z, view.window) for visit in plan.route.visits for view in visit.views)
        self.views_shared = {view for view, visits in self.views_left.items() if visits > 1}
        self.canvases: dict[int, Canvas] = {}
        self.embeddings: dict[tuple[int, int], Kept] = {}
        self.room = plan.kept_bytes
        self.lock = threading.Lock()  # of all the above
        self.slice_locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)

    def walk(self, chain: Chain, prompts: Prompts) -> Generator[bool, None, None]:
        """Make the visits of a chain; yields after every object, True where that ends a visit.

        Args:
            prompts: of the objects on the slice where the chain begins; what a visit leaves is for the next one.
        """
        for z, views in chain:
            with self.lock:
                slice_lock = self.slice_locks[z]
            with slice_lock:  # where the sweeps meet, the one waits for the other's embeddings
                canvas = self._take_canvas(z)
                for found in prompts.segment(z, self._encoded(z, views, prompts)):
                    canvas.paint(found.label, found.logits, found.region)
                    yield False
                self._keep_canvas(z, canvas)
            yield True

    def _encoded(self, z: int, views: list[View], prompts: Prompts) -> Iterator[Encoded]:
        """The views on which objects are left; each is encoded when it is asked for."""
        for view in views:
            objects = prompts.remaining(view.objects)
            if len(objects) == 0:
                self._pass_by(z, view.window)
                continue
            embeddings = self._take_embeddings(z, view.window)
            if len(views) > 1 and not self.plan.follow:  # it may still be decoded on while the engine encodes the next
                embeddings = [part.copy() for part in embeddings]
            yield Encoded(self.plan.windows[view.window], objects, embeddings)

    def _take_canvas(self, z: int) -> Canvas:
        with self.lock:
            self.visits_left[z] -= 1
            kept = self.canvases.pop(z, None)
        return kept or Canvas(self.segs[z], self.advantage)

    def _keep_canvas(self, z: int, canvas: Canvas) -> None:
        with self.lock:
            if self.visits_left[z]:
                self.canvases[z] = canvas

    def _pass_by(self, z: int, window: int) -> None:
        """Count a view that is not needed."""
        with self.lock:
            self.views_left[z, window] -= 1
            if not self.views_left[z, window] and (kept := self.embeddings.pop((z, window), None)):
                self.room += kept.size

    def _take_embeddings(self, z: int, window: int) -> Embeddings:
        """Those of a window of a slice; at every visit the same, whichever of two lanes comes first."""
        with self.lock:
            self.views_left[z, window] -= 1
            kept = self.embeddings.pop((z, window), None)
            if kept:
                self.room += kept.size
        if kept is None:
            embeddings = self.encode(z, self.plan.windows[window])
            if (z, window) not in self.views_shared:
                return embeddings
            kept = Kept([embedding.astype(np.float16) for embedding in embeddings], embeddings[0].dtype)
        self._keep_embeddings(z, window, kept)
        return [half.astype(kept.dtype, copy=False) for half in kept.halves]

    def _keep_embeddings(self, z: int, window: int, kept: Kept) -> None:
        """Keep them if they are needed and fit."""
        with self.lock:
            if self.views_left[z, window] and kept.size <= self.room:
                self.room -= kept.size
                self.embeddings[z, window] = kept
