"""What a case asks for, decided before any work starts: which images to encode, which boxes to decode on each."""

from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, Float64Array, IntArray
from ..cases.boxes import to_convention
from ..model.metadata import Metadata
from .zoom import Window, plan_windows


@dataclass(frozen=True)
class View:
    """A window of a slice, to be encoded once, with every box that is segmented on it.

    Attributes:
        z: the slice.
        window: what the encoder sees of it.
        labels: (N,) object numbers, from 1.
        boxes: (N, 4) `x_min, y_min, x_max, y_max`, pixels of the slice.
    """

    z: int
    window: Window
    labels: IntArray
    boxes: Float64Array


@dataclass(frozen=True)
class Plan:
    """The boxes of a case and the windows they are segmented on; a window is the same on all slices.

    Attributes:
        boxes: (N, 6) in the common form (see `inference.cases.boxes`) and the model's box convention.
        windows: all windows, the first the whole image.
        chosen: (N,) index of each box's window.
    """

    boxes: Float64Array
    windows: list[Window]
    chosen: IntArray

    @property
    def low(self) -> IntArray:
        """(N,) first slice of each object."""
        return self.boxes[:, 2].astype(np.intp)

    @property
    def high(self) -> IntArray:
        """(N,) last slice of each object, inclusive."""
        return self.boxes[:, 5].astype(np.intp)

    @property
    def boxes_2d(self) -> Float64Array:
        """(N, 4) the boxes on any of their slices."""
        return self.boxes[:, [0, 1, 3, 4]]

    def windows_of(self, objects: BoolArray | IntArray) -> list[int]:
        """Indices of the windows that some objects, as a mask (N,) or by index, are segmented on; in order."""
        return sorted(set(self.chosen[objects].tolist()))  # np.unique would import numpy.ma, which takes 10 ms

    def view_sizes(self, taking_part: BoolArray) -> list[int]:
        """How many boxes each view of a slice has if the objects in `taking_part`, (N,) bool, take part on it."""
        sizes: list[int] = np.unique(self.chosen[taking_part], return_counts=True)[1].tolist()
        return sizes

    def views(self, z: int, taking_part: BoolArray, prompts: Float64Array) -> list[View]:
        """The views of slice `z` for those objects that take part, (N,) bool, prompted with `prompts`, (N, 4)."""
        views = []
        for index in self.windows_of(taking_part):
            objects = np.flatnonzero(taking_part & (self.chosen == index))
            views.append(View(z, self.windows[index], objects + 1, prompts[objects]))
        return views


def make_plan(boxes: Float64Array, height: int, width: int, metadata: Metadata, zoom: bool) -> Plan:
    """Plan a case from its boxes: the windows that magnify small objects, or the whole image for all.

    Args:
        boxes: (N, 6) of the case, voxel indices.
        height, width: of the case's slices.
        metadata: of the model pair; its box convention is that of the plan's boxes.
        zoom: whether to magnify at all.
    """
    boxes = to_convention(boxes, height, width, metadata.box_convention)
    if zoom:
        windows, chosen = plan_windows(boxes[:, [0, 1, 3, 4]], height, width)
    else:
        windows, chosen = [Window(0, 0, width, height)], np.zeros(len(boxes), np.intp)
    return Plan(boxes, windows, chosen)
