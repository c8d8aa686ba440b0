"""The baseline's way through a volume: from the middle slice of each box outward, each slice prompted by the last mask.

The baseline walks object by object and encodes a slice again for each. Here all objects go together: first every
object on its middle slice, then one sweep up and one sweep down, side by side. An object takes part in the sweep up
above its middle slice and in the sweep down below it. A window of a slice is encoded once, even where both sweeps, or
a sweep and a middle slice, meet on it.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

from ..arrays import Array, BoolArray, Float64Array
from ..cases.case import Case
from ..model.pair import Embeddings, ModelPair
from ..options import Options
from .blocks import Blocks
from .lanes import Lanes
from .objects import decoded_objects, encode_view, tight_box
from .paint import Canvas, advantages
from .plan import Plan, View
from .zoom import Window

# The next slice's box is the last mask's tight box, grown on every side by this many pixels of the encoder's input.
MARGIN = 3.0


class Visit(NamedTuple):
    """Slice `z` with the objects (N,) bool that are segmented on it at one go."""

    z: int
    objects: BoolArray


class Route(NamedTuple):
    """All visits: the middle slices, and the two sweeps in their order."""

    middles: list[Visit]
    up: list[Visit]
    down: list[Visit]


def propagate(
    case: Case, plan: Plan, model: ModelPair, segs: Array, options: Options, on_slice: Callable[[float], None]
) -> None:
    """Segment all boxes slice by slice outward from their middle slices, paint `segs` (D, H, W) in place."""
    if len(plan.boxes) == 0:
        return
    route = route_of(plan)
    sweeps = _Sweeps(case, plan, route, model, segs, options)
    with Lanes(model.streams, sum(map(len, route)), on_slice) as lanes:
        prompts = plan.boxes_2d
        lanes.run(sweeps.walk([visit], prompts) for visit in route.middles)
        lanes.run([sweeps.walk(route.up, prompts.copy()), sweeps.walk(route.down, prompts.copy())])


def route_of(plan: Plan) -> Route:
    """The visits that segment every object on each of its slices once."""
    low, high = plan.low, plan.high
    middle = (low + high) // 2
    up = [Visit(z, (middle < z) & (z <= high)) for z in range(middle.min() + 1, high.max() + 1)]
    down = [Visit(z, (low <= z) & (z < middle)) for z in range(middle.max() - 1, low.min() - 1, -1)]
    return Route(
        [Visit(int(z), middle == z) for z in np.unique(middle)],
        [visit for visit in up if visit.objects.any()],
        [visit for visit in down if visit.objects.any()],
    )


def slices_painted_twice(plan: Plan) -> int:
    """How many slices are visited more than once, and keep their canvas in between."""
    if len(plan.boxes) == 0:
        return 0
    visits = Counter(visit.z for visits in route_of(plan) for visit in visits)
    return sum(count > 1 for count in visits.values())


class _Sweeps:
    """Segments slices on any thread; keeps what a later visit to the same slice needs, until then."""

    def __init__(self, case: Case, plan: Plan, route: Route, model: ModelPair, segs: Array, options: Options) -> None:
        self.case, self.plan, self.model, self.segs = case, plan, model, segs
        self.advantage = advantages(options.overlap, plan.boxes_2d)
        # Visits to come: to each slice, and to each window of a slice.
        self.visits_left: Counter[int] = Counter()
        self.views_left: Counter[tuple[int, Window]] = Counter()
        for visit in (visit for visits in route for visit in visits):
            self.visits_left[visit.z] += 1
            self.views_left.update((visit.z, plan.windows[i]) for i in plan.windows_of(visit.objects))
        views = (plan.view_sizes(visit.objects) for visits in route for visit in visits)
        self.blocks = Blocks(chain.from_iterable(views), options.box_batch)
        self.canvases: dict[int, Canvas] = {}
        self.embeddings: dict[tuple[int, Window], Embeddings] = {}
        self.room = options.kept_bytes
        self.lock = threading.Lock()  # of all the above
        self.slice_locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)

    def walk(self, visits: list[Visit], prompts: Float64Array) -> Iterator[None]:
        """Make some visits, one per step.

        Args:
            prompts: (N, 4) the objects' boxes; each becomes the object's box on the next slice.
        """
        for z, objects in visits:
            with self.lock:
                slice_lock = self.slice_locks[z]
            with slice_lock:  # where the sweeps meet, the one waits for the other's embeddings
                canvas = self._take_canvas(z)
                for view in self.plan.views(z, objects, prompts):
                    embeddings = self._take_embeddings(view)
                    self._segment_view(view, embeddings, canvas, prompts)
                    self._keep_embeddings(view, embeddings)
                self._keep_canvas(z, canvas)
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

    def _take_embeddings(self, view: View) -> Embeddings:
        with self.lock:
            self.views_left[view.z, view.window] -= 1
            kept = self.embeddings.pop((view.z, view.window), None)
            if kept:
                self.room += _size(kept)
        if kept is None:
            return encode_view(self.model, self.case.volume, view)
        return [embedding.astype(np.float32) for embedding in kept]

    def _keep_embeddings(self, view: View, embeddings: Embeddings) -> None:
        """Keep a copy in half precision, whose error is below that of bf16 arithmetic, if it is needed and fits."""
        with self.lock:
            size = _size(embeddings) // 2
            if not self.views_left[view.z, view.window] or size > self.room:
                return
            self.room -= size
        halves = [embedding.astype(np.float16) for embedding in embeddings]
        with self.lock:
            self.embeddings[view.z, view.window] = halves

    def _segment_view(self, view: View, embeddings: Embeddings, canvas: Canvas, prompts: Float64Array) -> None:
        objects = view.labels - 1
        prompts[objects] = self.plan.boxes_2d[objects]  # after an empty mask, the given box prompts again
        for found in decoded_objects(self.model, embeddings, view, self.blocks):
            canvas.paint(found.label, found.logits, found.region)
            box = tight_box(found)
            if box is not None:
                prompts[found.label - 1] = self._grown(box, view.window, self.plan.boxes_2d[found.label - 1])

    def _grown(self, box: Float64Array, window: Window, given: Float64Array) -> Float64Array:
        """`box` grown by the margin, but not beyond the `given` one, which holds the object on every slice."""
        margin = MARGIN * max(window.height, window.width) / self.model.metadata.input_size
        outward = np.array([-margin, -margin, margin, margin])
        grown: Float64Array = np.clip(box + outward, given[[0, 1, 0, 1]], given[[2, 3, 2, 3]])
        return grown if np.all(grown[2:] - grown[:2] >= 1) else given


def _size(embeddings: Embeddings) -> int:
    return sum(embedding.nbytes for embedding in embeddings)
