"""What a case asks for, decided before any work starts: which images to encode, which boxes to decode on each."""

from dataclasses import dataclass

import numpy as np

from inference.arrays import BoolArray, Float64Array, IntArray


@dataclass(frozen=True)
class View:
    """One slice to encode once, with every box on it.

    Attributes:
        z: the slice.
        labels: (N,) object numbers, from 1.
        boxes: (N, 4) `x_min, y_min, x_max, y_max`, pixels of the slice.
    """

    z: int
    labels: IntArray
    boxes: Float64Array


def flattened_views(boxes: Float64Array) -> list[View]:
    """All 3D boxes (N, 6) as 2D boxes on their slices (QMedSAM's flattening), slices without a box left out."""
    return [view_of_slice(boxes, z, boxes[:, 2] <= z, boxes[:, 5] >= z) for z in _slices(boxes)]


def view_of_slice(boxes: Float64Array, z: int, *conditions: BoolArray) -> View:
    """The view of slice `z` with those boxes (N, 6) that meet all conditions (each (N,) bool)."""
    chosen = np.flatnonzero(np.logical_and.reduce(conditions))
    return View(z, chosen + 1, boxes[chosen][:, [0, 1, 3, 4]])


def _slices(boxes: Float64Array) -> list[int]:
    covered: set[int] = set()
    for low, high in {(int(box[2]), int(box[5])) for box in boxes}:
        covered.update(range(low, high + 1))
    return sorted(covered)
