"""What prompts the objects of a chain from slice to slice: boxes, or boxes and what was seen of them so far."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..arrays import BoolArray, Float32Array, Float64Array, IntArray
from ..model.pair import Block, Embeddings, ModelPair, State
from .blocks import split
from .extent import meet
from .neighbours import neighbour_maps
from .objects import ObjectLogits, boxes_on, full_resolution, tight_box
from .plan import Plan
from .zoom import Window

# The next slice's box is the last mask's tight box, grown on every side by a share of the window's longest side. Of an
# object that the volume decoder follows, whose extent is given, it is grown further: the given box clips it.
MARGIN = MARGIN_FOUND = 3 / 256
MARGIN_GIVEN = 12 / 256

# The box that prompts the volume decoder on each slice of an object whose extent is given. Where it is to be found, the
# given box holds the object on its own slice only, and it is always the last mask's.
GIVEN_BOX, LAST_MASK = "given box", "last mask"
FOLLOWED_BOX: str = LAST_MASK


class Encoded(NamedTuple):
    """A view of a slice, once it is encoded.

    Attributes:
        window: what it shows.
        objects: (n,) indices of the objects to segment on it.
        embeddings: its own, or the engine's, which hold until this thread encodes the next view.
    """

    window: Window
    objects: IntArray
    embeddings: Embeddings


class Prompts(ABC):
    """The prompts of all objects on the next slice of a chain. Chains side by side may share them until they fork."""

    @abstractmethod
    def fork(self) -> "Prompts":
        """The same, for a chain that goes its own way from here."""

    @abstractmethod
    def remaining(self, objects: IntArray) -> IntArray:
        """Those of the objects that have not ended."""

    @abstractmethod
    def segment(self, z: int, views: Iterable[Encoded]) -> Iterator[ObjectLogits]:
        """Segment the objects of a visit to a slice; what comes of that prompts the next one, once all of it was taken.

        Args:
            views: encoded as they are taken.
        """


def first_prompts(plan: Plan, model: ModelPair) -> Prompts:
    """The prompts on the slices from which the objects of a case start."""
    return Tracks(plan, model) if plan.follow else Boxes(plan, model)


class Boxes(Prompts):
    """Where there are sweeps, the last mask's box prompts the next slice; else the given boxes prompt every slice."""

    def __init__(self, plan: Plan, model: ModelPair, boxes: Float64Array | None = None) -> None:
        self.plan, self.model = plan, model
        self.boxes = plan.prompts.copy() if boxes is None else boxes

    def fork(self) -> "Boxes":
        return Boxes(self.plan, self.model, self.boxes.copy())

    def remaining(self, objects: IntArray) -> IntArray:
        return objects

    def segment(self, z: int, views: Iterable[Encoded]) -> Iterator[ObjectLogits]:
        begun: deque[tuple[Window, IntArray]] = deque()  # of each block that is being decoded: its window and objects

        def blocks() -> Iterator[Block]:
            for window, objects, embeddings in views:
                boxes = boxes_on(self.model, window, self.boxes[objects])
                for part in split(len(objects), self.plan.block_size):
                    begun.append((window, objects[part]))
                    yield Block(embeddings, boxes[part])

        for scored in self.model.decode(blocks()):
            window, objects = begun.popleft()
            if self.plan.route.sweeps:
                self.boxes[objects] = self.plan.prompts[objects]  # after an empty mask, the given box prompts again
            for found in full_resolution(self.model, scored.logits, window, objects):
                yield found
                if self.plan.route.sweeps and (box := tight_box(found)) is not None:
                    index = found.label - 1
                    self.boxes[index] = _within(_grown(box, window, MARGIN), self.plan.prompts[index])


class Tracks(Prompts):
    """The volume decoder follows the objects: each slice is prompted by a box, and the state that the last one left.

    An object whose extent is to be found is on the slice where it was marked, and ends before the first other one where
    it is not present, or has no mask.
    """

    def __init__(self, plan: Plan, model: ModelPair, before: "Tracks | None" = None) -> None:
        self.plan, self.model = plan, model
        self.by_mask = plan.extents.to_find | (FOLLOWED_BOX == LAST_MASK)
        self.boxes: Float64Array = (before.boxes if before else plan.prompts).copy()
        self.ended: BoolArray = before.ended.copy() if before else np.zeros(len(plan.prompts), np.bool_)
        self.neighbours: dict[Window, Float32Array] = before.neighbours if before else {}
        self.states: dict[int, State] = dict(before.states) if before else {}  # by object; never changed in place

    def fork(self) -> "Tracks":
        return Tracks(self.plan, self.model, self)

    def remaining(self, objects: IntArray) -> IntArray:
        remaining: IntArray = objects[~self.ended[objects]]
        return remaining

    def segment(self, z: int, views: Iterable[Encoded]) -> Iterator[ObjectLogits]:
        for view in views:
            yield from self._segment_view(z, *view)

    def _segment_view(
        self, z: int, window: Window, objects: IntArray, embeddings: Embeddings
    ) -> Iterator[ObjectLogits]:
        boxes = boxes_on(self.model, window, self.boxes[objects])
        places, neighbours = self.plan.extents.place(objects, z), self._neighbours(window)
        for row, index in enumerate(objects.tolist()):
            one, own = slice(row, row + 1), slice(index, index + 1)
            state = self.states.get(index)
            followed = self.model.follow(embeddings, boxes[one], places[one], neighbours[own], state)
            self.states[index] = [part.copy() for part in followed.state]  # the engine is going to write over its own
            self.boxes[index] = self.plan.prompts[index]  # after an empty mask, the given box prompts again
            to_find, was_marked = self.plan.extents.to_find[index], self.plan.extents.start[index] == z
            self.ended[index] = to_find  # unless it shows
            if to_find and not was_marked and followed.presence <= 0:
                continue
            for found in full_resolution(self.model, followed.logits, window, objects[one]):
                if self.by_mask[index] and (box := tight_box(found)) is not None:
                    self.boxes[index] = self._box_after(index, box, window)
                    self.ended[index] = False
                yield found

    def _neighbours(self, window: Window) -> Float32Array:
        """Where the given boxes of others lie, for all objects. They are looked at once for each window."""
        if window not in self.neighbours:
            given = boxes_on(self.model, window, self.plan.prompts)
            related = meet(self.plan.extents.first, self.plan.extents.last)
            self.neighbours[window] = neighbour_maps(given, related, self.model.metadata.input_size)
        return self.neighbours[window]

    def _box_after(self, index: int, box: Float64Array, window: Window) -> Float64Array:
        """The box that prompts an object after a slice where its mask has the tight `box`."""
        if self.plan.extents.to_find[index]:
            return _grown(box, window, MARGIN_FOUND)
        return _within(_grown(box, window, MARGIN_GIVEN), self.plan.prompts[index])


def _grown(box: Float64Array, window: Window, share: float) -> Float64Array:
    """`box`, grown on every side by a share of the window's longest side."""
    margin = share * max(window.height, window.width)
    grown: Float64Array = box + np.array([-margin, -margin, margin, margin])
    return grown


def _within(box: Float64Array, given: Float64Array) -> Float64Array:
    """`box`, but not beyond the `given` one, which holds the object on every slice."""
    within: Float64Array = np.clip(box, given[[0, 1, 0, 1]], given[[2, 3, 2, 3]])
    return within if np.all(within[2:] - within[:2] >= 1) else given
