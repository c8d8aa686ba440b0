"""Which of a file's axes the runtime calls slices, rows and columns, and in which sense it walks along them.

Slices are those that were acquired: they follow each other along the axis of largest spacing. Where no axis stands out,
they are axial. A display has x towards the patient's left, y towards the back and z towards the head, as training data
have; so the same scan gives the same masks, in whatever order and sense a file stores it.
"""

from itertools import permutations
from typing import NamedTuple

import numpy as np

from ..arrays import Array, Float64Array
from .grid import Grid

STANDS_OUT = 1.01  # an axis whose spacing is larger by this factor; less is a digit lost in a header
PLANES = ("sagittal", "coronal", "axial")  # slices that follow each other along the patient's x, y, z
FILE_AXES = "xyz"


class Layout(NamedTuple):
    """From the file's axes to those of the runtime's arrays (D, H, W).

    Attributes:
        order: the file's axis, 0..2 for x, y, z, of the slices, rows and columns.
        flipped: whether slices, rows and columns run against it.
        sizes: of the file, along x, y, z.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    sizes: tuple[int, int, int]

    def arrange(self, stored: Array) -> Array:
        """A view (D, H, W[, 3]) of what the file stores, (Z, Y, X[, 3])."""
        axes = [2 - axis for axis in self.order]
        arranged = stored.transpose(*axes, *range(3, stored.ndim))
        return arranged[tuple(slice(None, None, -1 if flipped else 1) for flipped in self.flipped)]

    def restore(self, arranged: Array) -> Array:
        """A view (Z, Y, X), as the file stores it, of an array (D, H, W)."""
        unflipped = arranged[tuple(slice(None, None, -1 if flipped else 1) for flipped in self.flipped)]
        return unflipped.transpose(np.argsort([2 - axis for axis in self.order]))

    def slice_name(self, z: int) -> str:
        """`x=12`: where slice z of the runtime's lies in the file."""
        axis = self.order[0]
        return f"{FILE_AXES[axis]}={self.sizes[axis] - 1 - z if self.flipped[0] else z}"

    def boxes(self, of_file: Float64Array) -> Float64Array:
        """From boxes (N, 6) in the file's x, y, z to boxes in columns, rows, slices; last voxels belong to both."""
        boxes = np.empty_like(of_file)
        for to, (axis, flipped) in enumerate(zip(self.order[::-1], self.flipped[::-1], strict=True)):
            ends = of_file[:, [axis, axis + 3]]
            boxes[:, [to, to + 3]] = self.sizes[axis] - 1 - ends[:, ::-1] if flipped else ends
        return boxes

    def boxes_of_file(self, boxes: Float64Array) -> Float64Array:
        """The way back of `boxes`."""
        of_file = np.empty_like(boxes)
        for to, (axis, flipped) in enumerate(zip(self.order[::-1], self.flipped[::-1], strict=True)):
            ends = boxes[:, [to, to + 3]]
            of_file[:, [axis, axis + 3]] = self.sizes[axis] - 1 - ends[:, ::-1] if flipped else ends
        return of_file


def layout_of(grid: Grid) -> Layout:
    """The layout for a grid, be it oblique or anisotropic."""
    towards = _patient_axes(grid.direction)
    slices = _slice_axis(grid, towards)
    rows, columns = sorted((axis for axis in range(3) if axis != slices), key=lambda axis: -towards[axis])
    order = (slices, rows, columns)
    flipped = [bool(grid.direction[towards[axis], axis] < 0) for axis in order]
    return Layout(order, (flipped[0], flipped[1], flipped[2]), grid.size)


def describe(layout: Layout, grid: Grid, has_geometry: bool) -> str:
    """`slices along z of the file (axial), 5 mm apart`; how they lie only where the file says so."""
    axis = layout.order[0]
    along = f"slices along {FILE_AXES[axis]} of the file"
    if not has_geometry:
        return along
    return f"{along} ({PLANES[_patient_axes(grid.direction)[axis]]}), {grid.spacing[axis]:.4g} mm apart"


def _patient_axes(direction: Float64Array) -> tuple[int, ...]:
    """For each axis of the file the patient's axis, 0..2, that it runs along most; each is taken once."""
    along = np.abs(direction)
    return max(permutations(range(3)), key=lambda chosen: sum(along[axis, i] for i, axis in enumerate(chosen)))


def _slice_axis(grid: Grid, towards: tuple[int, ...]) -> int:
    """The file's axis along which slices follow each other; that of a single voxel, where there is one."""
    single = [axis for axis in range(3) if grid.size[axis] == 1]
    if single:
        return max(single)
    widest = int(np.argmax(grid.spacing))
    others = max(spacing for axis, spacing in enumerate(grid.spacing) if axis != widest)
    return widest if grid.spacing[widest] > others * STANDS_OUT else towards.index(2)
