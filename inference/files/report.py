"""What people measure next: volume, intensities and extent of every object."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..arrays import Array, Float64Array
from ..atomic import write_atomically
from .file_case import FileCase

COLUMNS = (
    "file", "object", "label", "name", "voxels", "millilitres", "mean", "min", "max",
    "x_min", "y_min", "z_min", "x_max", "y_max", "z_max",
)  # fmt: skip
Row = dict[str, object]


def measure(file: str, case: FileCase, segs: Array) -> list[Row]:
    """A row for each object of a case.

    Intensities are those of the file (Hounsfield units in CT), of a picture its values 0..255; colours have none.
    Millilitres need to know how far apart voxels are. The extent is that of the mask, in voxel indices of the file.

    Args:
        segs: (H, W) or (D, H, W), i the object of the i-th box.
    """
    labels = segs if segs.ndim == 3 else segs[np.newaxis]
    figures = _figures(labels, case.values, len(case.objects))
    boxes = figures[:, 4:]
    if case.layout:
        boxes = case.layout.boxes_of_file(boxes)
    millilitres = np.nan
    if case.image and case.image.has_geometry and case.image.grid.dimensions == 3:
        millilitres = float(np.prod(case.image.grid.spacing)) / 1000
    rows: list[Row] = []
    for i, (item, (count, total, low, high)) in enumerate(zip(case.objects, figures[:, :4].tolist(), strict=True)):
        row: Row = {"file": file, "object": i + 1, "label": item.label, "name": item.name, "voxels": int(count)}
        row["millilitres"] = _number(count * millilitres)
        if count and case.values is not None:
            row |= {"mean": _number(total / count), "min": _number(low), "max": _number(high)}
        if count:
            row |= dict(zip(COLUMNS[-6:], map(int, boxes[i]), strict=True))
        rows.append(row)
    return rows


def write_report(path: Path, rows: Sequence[Row]) -> None:
    """Write a CSV file, whole or not at all; cells are empty where there is nothing to say.

    Raises:
        OSError: the folder is not writable, or the disk is full.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode("utf-8", "backslashreplace")))


def _figures(labels: Array, values: Array | None, count: int) -> Float64Array:
    """(N, 10) of each object: voxels, sum, minimum and maximum of intensity, box in columns, rows and slices."""
    figures = np.zeros((count, 10))
    figures[:, [2, 4, 5, 6]], figures[:, [3, 7, 8, 9]] = np.inf, -np.inf
    for z, plane in enumerate(labels):
        rows, columns = np.nonzero(plane)
        if not len(rows):
            continue
        own = plane[rows, columns].astype(np.intp) - 1
        figures[:, 0] += np.bincount(own, minlength=count)
        if values is not None:
            intensities = values[z][rows, columns].astype(np.float64)
            figures[:, 1] += np.bincount(own, intensities, minlength=count)
            np.minimum.at(figures[:, 2], own, intensities)
            np.maximum.at(figures[:, 3], own, intensities)
        for low, high, places in ((4, 7, columns), (5, 8, rows), (6, 9, np.full(len(own), z))):
            np.minimum.at(figures[:, low], own, places)
            np.maximum.at(figures[:, high], own, places)
    return figures


def _number(value: float) -> str:
    """Six digits; empty where it is not known."""
    return "" if np.isnan(value) else f"{value:.6g}"
