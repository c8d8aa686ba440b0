"""One case: an image or a volume with the boxes of its objects, read from an npz file and checked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, BoolArray, Float64Array
from ..errors import CaseError, does_not_fit
from .box_count import MAX_OBJECTS
from .boxes import Repaired, common_form, repair
from .npz import Header, Npz, open_npz

REMEDY = "bring Hounsfield units there by a window (in Python: window=(40, 400)), all else by percentiles"


@dataclass(frozen=True)
class Case:
    """A 2D case is a volume of one slice, so that everything downstream sees one form.

    Attributes:
        volume: (D, H, W) or (D, H, W, 3), uint8 or float32, values 0..255.
        boxes: (N, 6) float64 `[x_min, y_min, z_min, x_max, y_max, z_max]`, voxel indices inside the volume, the last
            voxel belongs to the box; zeros where the box is unusable.
        is_volume: whether `segs` is (D, H, W); else it is (H, W).
        usable: (N,) bool, which boxes an object can be segmented from; the labels of all others stay empty.
        problems: one line per unusable box, with the reason.
        warnings: what was repaired, one line each.
        notes: how the case was understood, where that is not plain, one line each.
    """

    volume: Array
    boxes: Float64Array
    is_volume: bool
    usable: BoolArray
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def numbers(self) -> Sequence[int]:
        """The number of each object, as people know it; its label in `segs`, unless a subclass says otherwise."""
        return range(1, len(self.boxes) + 1)

    def slice_name(self, z: int) -> str:
        """What people call a slice."""
        return f"z={z}"

    @property
    def held_bytes(self) -> int:
        """Bytes of arrays that a subclass keeps beside the volume."""
        return 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        depth, height, width = self.volume.shape[:3]
        return depth, height, width

    @property
    def segs_dtype(self) -> type[np.unsignedinteger[Any]]:
        """Label type of `segs`."""
        return segs_dtype(len(self.boxes))


def segs_dtype(count: int) -> type[np.unsignedinteger[Any]]:
    """Label type of the contract for `count` boxes: uint8, or uint16 above 255."""
    return np.uint8 if count <= np.iinfo(np.uint8).max else np.uint16


def read_case(path: Path, max_bytes: int) -> Case:
    """Read and check one npz case (DESIGN section 1).

    Shapes are checked before anything is read, boxes before the image is. Memory stays at that of `volume` and a few
    MB, whatever the type in the file.

    Args:
        path: the npz file with `imgs` and `boxes`.
        max_bytes: memory that the case may take, its label map included; checked before it is allocated.

    Raises:
        CaseError: the reason, in one line, why this file is not a case.
    """
    with open_npz(path) as archive:
        imgs, boxes = _header(archive, "imgs"), _header(archive, "boxes")
        form = _form(imgs.shape, boxes.shape)
        dtype = _held_type(imgs.dtype)
        needed = imgs.size * dtype.itemsize + math.prod(form.shape) * form.segs_dtype().itemsize
        if needed > max_bytes:
            raise does_not_fit(f"'imgs' of shape {imgs.shape} with its masks", needed, max_bytes)
        repaired = _repaired(archive.read("boxes", boxes), form)
        volume = archive.read("imgs", imgs, dtype, _check_intensities)
    return _case(volume, form, repaired)


def make_case(imgs: Array, boxes: Array) -> Case:
    """Check the two arrays of a case against each other and bring them into the common form.

    Raises:
        CaseError: wrong shapes, values outside 0..255 or not finite.
    """
    form = _form(imgs.shape, boxes.shape)
    _check_intensities(imgs)
    return _case(imgs.astype(_held_type(imgs.dtype), copy=False), form, _repaired(boxes, form))


class _Form(NamedTuple):
    """What the shapes of a case say.

    Attributes:
        shape: (D, H, W).
        table: shape of `boxes` as a table, (N, 4) or (N, 6).
    """

    shape: tuple[int, int, int]
    table: tuple[int, int]
    is_volume: bool

    @property
    def segs_dtype(self) -> type[np.unsignedinteger[Any]]:
        return segs_dtype(self.table[0])


def _form(imgs: tuple[int, ...], boxes: tuple[int, ...]) -> _Form:
    """Check the shapes of `imgs` and `boxes`; the columns of `boxes` decide whether the case is 3D.

    Where there is no box, columns that do not go with `imgs` decide nothing: many write "none" as `np.zeros((0, 4))`.
    """
    if math.prod(boxes) == 0:
        named = (6, 4) if boxes[1:] == (6,) else (4, 6)
        table = (0, next((columns for columns in named if _go_together(imgs, columns)), named[0]))
    elif boxes in ((4,), (6,)):  # a single box without its outer dimension
        table = (1, *boxes)
    elif len(boxes) == 2 and boxes[1] in (4, 6):
        table = boxes
    else:
        raise CaseError(f"'boxes' has shape {boxes}, expected (N, 4) or (N, 6)")
    count, columns = table
    if count > MAX_OBJECTS:
        raise CaseError(f"{count} boxes, but labels end at {MAX_OBJECTS}")
    is_volume = columns == 6
    if not _go_together(imgs, columns):
        expected = "(D, H, W) or (D, H, W, 3)" if is_volume else "(H, W) or (H, W, 3)"
        raise CaseError(f"'imgs' has shape {imgs}, expected {expected} for boxes with {columns} columns")
    if math.prod(imgs) == 0:
        raise CaseError(f"'imgs' is empty, shape {imgs}")
    depth, height, width = imgs[:3] if is_volume else (1, *imgs[:2])
    return _Form((depth, height, width), (count, columns), is_volume)


def _go_together(imgs: tuple[int, ...], columns: int) -> bool:
    """Whether `imgs`, gray or colour, has the dimensions that boxes of so many columns speak of."""
    dimensions = columns // 2
    return len(imgs) == dimensions or (len(imgs) == dimensions + 1 and imgs[-1] == 3)


def _repaired(boxes: Array, form: _Form) -> Repaired:
    return repair(common_form(boxes.reshape(form.table)), form.shape)


def _case(volume: Array, form: _Form, boxes: Repaired) -> Case:
    volume = volume if form.is_volume else volume[np.newaxis]
    return Case(volume, boxes.boxes, form.is_volume, boxes.usable, boxes.problems, boxes.warnings)


def _header(archive: Npz, name: str) -> Header:
    header = archive.header(name)
    if header is None:
        raise CaseError(f"array '{name}' is missing")
    return header


def _held_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """uint8 where values are whole by type, else float32."""
    return np.dtype(np.float32 if dtype.kind == "f" else np.uint8)


def _check_intensities(values: Array) -> None:
    if values.dtype == np.uint8:
        return
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise CaseError("'imgs' holds NaN or infinity")
    if low < 0 or high > 255:
        raise CaseError(f"'imgs' holds values {low:g}..{high:g}, expected 0..255; {REMEDY}")
