"""The executor: carries out the plan of a case, slice by slice, and paints its label map.

A window of a slice is encoded once, even where both sweeps, or a sweep and a middle slice, meet on it.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator

import numpy as np

from ..arrays import Array, Float64Array
from ..cases.case import Case
from ..model.pair import Embeddings, ModelPair
from .blocks import split
from .lanes import Lanes
from .objects import decoded_objects, encode_window, tight_box
from .paint import Canvas, advantages
from .plan import Plan
from .route import Chain, View
from .zoom import Window

# The next slice's box is the last mask's tight box, grown on every side by this share of the window's longest side.
MARGIN = 3 / 256


def sweep(case: Case, plan: Plan, model: ModelPair, segs: Array, on_step: Callable[[float], None]) -> None:
    """Segment all objects of a case, painting `segs` (D, H, W) in place.

    Args:
        on_step: called with the finished fraction, 0..1, after every visit.
    """
    work = _Sweep(case, plan, model, segs)
    with Lanes(plan.lanes, sum(1 for _ in plan.route.visits), on_step) as lanes:
        prompts = plan.prompts.copy()
        lanes.run(work.walk(chain, prompts) for chain in plan.route.starts)
        lanes.run(work.walk(chain, prompts.copy()) for chain in plan.route.sweeps)


class _Sweep:
    """Segments slices on any thread; keeps what a later visit to the same slice needs, until then."""

    def __init__(self, case: Case, plan: Plan, model: ModelPair, segs: Array) -> None:
        self.case, self.plan, self.model, self.segs = case, plan, model, segs
        self.advantage = advantages(plan.overlap, plan.prompts)
        # Visits to come: to each slice, and to each window of a slice.
        self.visits_left = Counter(visit.z for visit in plan.route.visits)
        self.views_left = Counter((visit.z, view.window) for visit in plan.route.visits for view in visit.views)
        self.canvases: dict[int, Canvas] = {}
        self.embeddings: dict[tuple[int, int], Embeddings] = {}
        self.room = plan.kept_bytes
        self.lock = threading.Lock()  # of all the above
        self.slice_locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)

    def walk(self, chain: Chain, prompts: Float64Array) -> Generator[bool, None, None]:
        """Make the visits of a chain; yields after every block of boxes, True where that ends a visit.

        Args:
            prompts: (N, 4) the objects' boxes; where there are sweeps, each becomes the object's box on the next slice.
        """
        for z, views in chain:
            with self.lock:
                slice_lock = self.slice_locks[z]
            with slice_lock:  # where the sweeps meet, the one waits for the other's embeddings
                canvas = self._take_canvas(z)
                for view in views:
                    embeddings = self._take_embeddings(z, view.window)
                    for _ in self._segment_view(view, embeddings, canvas, prompts):
                        yield False
                    self._keep_embeddings(z, view.window, embeddings)
                self._keep_canvas(z, canvas)
            yield True

    def _segment_view(
        self, view: View, embeddings: Embeddings, canvas: Canvas, prompts: Float64Array
    ) -> Iterator[None]:
        window = self.plan.windows[view.window]
        for block in split(len(view.objects), self.plan.block_sizes):
            objects = view.objects[block]
            boxes = prompts[objects]
            if self.plan.route.sweeps:
                prompts[objects] = self.plan.prompts[objects]  # after an empty mask, the given box prompts again
            for found in decoded_objects(self.model, embeddings, window, objects, boxes):
                canvas.paint(found.label, found.logits, found.region)
                if self.plan.route.sweeps and (box := tight_box(found)) is not None:
                    index = found.label - 1
                    prompts[index] = _grown(box, window, self.plan.prompts[index])
            yield

    def _take_canvas(self, z: int) -> Canvas:
        with self.lock:
            self.visits_left[z] -= 1
            kept = self.canvases.pop(z, None)
        return kept or Canvas(self.segs[z], self.advantage)

    def _keep_canvas(self, z: int, canvas: Canvas) -> None:
        with self.lock:
            if self.visits_left[z]:
                self.canvases[z] = canvas

    def _take_embeddings(self, z: int, window: int) -> Embeddings:
        with self.lock:
            self.views_left[z, window] -= 1
            kept = self.embeddings.pop((z, window), None)
            if kept:
                self.room += _size(kept)
        if kept is None:
            return encode_window(self.model, self.case.volume[z], self.plan.windows[window])
        return [embedding.astype(np.float32) for embedding in kept]

    def _keep_embeddings(self, z: int, window: int, embeddings: Embeddings) -> None:
        """Keep a copy in half precision, whose error is below that of bf16 arithmetic, if it is needed and fits."""
        with self.lock:
            size = _size(embeddings) // 2
            if not self.views_left[z, window] or size > self.room:
                return
            self.room -= size
        halves = [embedding.astype(np.float16) for embedding in embeddings]
        with self.lock:
            self.embeddings[z, window] = halves


def _grown(box: Float64Array, window: Window, given: Float64Array) -> Float64Array:
    """`box` grown by the margin, but not beyond the `given` one, which holds the object on every slice."""
    margin = MARGIN * max(window.height, window.width)
    outward = np.array([-margin, -margin, margin, margin])
    grown: Float64Array = np.clip(box + outward, given[[0, 1, 0, 1]], given[[2, 3, 2, 3]])
    return grown if np.all(grown[2:] - grown[:2] >= 1) else given


def _size(embeddings: Embeddings) -> int:
    return sum(embedding.nbytes for embedding in embeddings)
