"""Boxes from a rough mask: one per label, whose number and name stay."""

from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array, Float64Array
from ..errors import CaseError
from ..jobs import SCANS
from .grid import TOLERANCE, Grid
from .image import Choice, Image
from .itk import ending, read_header, read_itk
from .layout import layout_of
from .prompts import Prompt

SEGMENT = "Segment{}_{}"  # what NRRD files of 3D Slicer say of segments, counted from 0
MOST_LABELS = 65535


def label_map_prompts(path: Path, image: Image, max_bytes: int) -> list[Prompt]:
    """A box around each label of a mask that lies on the image's grid, in whatever order it is stored.

    Args:
        max_bytes: memory that the mask may take.

    Raises:
        CaseError: unreadable, no label map, empty, or on another grid.
    """
    if not ending(path):
        raise CaseError(f"rough masks come as {', '.join(SCANS)}")
    header = read_header(path)
    if header.GetNumberOfComponents() > 1 or np.prod(header.GetSize()[3:]) > 1:
        raise CaseError("holds several layers: save it as one label map")
    labels = read_itk(path, Choice(modality="mask"), max_bytes)
    check_same_grid(labels.grid, image.grid)
    arranged = layout_of(labels.grid).arrange(whole_labels(labels.values))
    names = _names(header)
    found, boxes = _boxes(arranged)
    of_file = layout_of(image.grid).boxes_of_file(boxes)
    return [
        Prompt(tuple(box), label=label, name=names.get(label, ""))
        for label, box in zip(found, of_file.tolist(), strict=True)
    ]


def check_same_grid(mask: Grid, image: Grid) -> None:
    """Raise CaseError unless both have the same voxels, in whatever order they are stored."""
    shapes = [tuple(grid.size[axis] for axis in layout_of(grid).order) for grid in (mask, image)]
    if shapes[0] != shapes[1]:
        sizes = [" x ".join(map(str, grid.size)) for grid in (mask, image)]
        raise CaseError(f"the mask has {sizes[0]} voxels, the image {sizes[1]}: resample it to the image")
    apart = np.abs(_corners(mask) - _corners(image)).max()
    if apart > TOLERANCE * min(image.spacing):
        raise CaseError(f"the mask lies up to {apart:.3g} mm beside the image: resample it to the image")


def whole_labels(values: Array) -> Array:
    """Values of a mask as labels.

    Raises:
        CaseError: they are none.
    """
    if values.ndim != 3:
        raise CaseError("the mask is in colours, not a label map")
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        raise CaseError("the mask holds fractions, not labels")
    if values.min() < 0 or values.max() > MOST_LABELS:
        raise CaseError(f"the mask holds values {values.min():g}..{values.max():g}, labels are 0..{MOST_LABELS}")
    return values


def _corners(grid: Grid) -> Float64Array:
    """Patient coordinates of the corners, in the order of the runtime's axes."""
    layout = layout_of(grid)
    ends = np.array(list(np.ndindex(2, 2, 2)), np.float64)
    indices = np.empty((8, 3))
    for to, (axis, flipped) in enumerate(zip(layout.order, layout.flipped, strict=True)):
        indices[:, axis] = (1 - ends[:, to] if flipped else ends[:, to]) * (grid.size[axis] - 1)
    return grid.to_patient(indices)


def _boxes(labels: Array) -> tuple[list[int], Float64Array]:
    """The labels of (D, H, W), and boxes (N, 6) around them in columns, rows, slices."""
    low: dict[int, Float64Array] = {}
    high: dict[int, Float64Array] = {}
    for z, plane in enumerate(labels):
        rows, columns = np.nonzero(plane)
        values = plane[rows, columns].astype(np.intp)
        for label in np.unique(values).tolist():
            own = values == label
            x, y = columns[own], rows[own]
            first, last = np.array([x.min(), y.min(), z], float), np.array([x.max(), y.max(), z], float)
            low[label] = np.minimum(low.get(label, first), first)
            high[label] = np.maximum(high.get(label, last), last)
    if not low:
        raise CaseError("the mask is empty")
    found = sorted(low)
    return found, np.array([[*low[label], *high[label]] for label in found])


def _names(header: Any) -> dict[int, str]:
    """Names of labels that a NRRD file has of 3D Slicer; none elsewhere."""
    names = {}
    for number in range(MOST_LABELS):
        value, name = (SEGMENT.format(number, part) for part in ("LabelValue", "Name"))
        if not (header.HasMetaDataKey(value) and header.HasMetaDataKey(name)):
            break
        if header.GetMetaData(value).isdecimal():
            names[int(header.GetMetaData(value))] = str(header.GetMetaData(name))
    return names
