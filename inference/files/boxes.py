"""Boxes from files: our JSON, CSV, COCO, 3D Slicer's ROI markups, label maps."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cases.archive import regular_size
from ..errors import CaseError
from .coco import coco_prompts
from .prompts import PATIENT, VOXELS, Prompt
from .slicer import slicer_prompts

MARKUP = ".mrk.json"
COLUMNS_3D = ("x_min", "y_min", "z_min", "x_max", "y_max", "z_max")
COLUMNS_2D = ("x_min", "y_min", "x_max", "y_max")
# Of a file of boxes; parsed, it takes several times as much.
MOST_BYTES = 256 * 2**20


def read_boxes(path: Path, in_patient: bool = False) -> list[Prompt]:
    """The boxes of a file, in its order.

    Args:
        path: `.csv`, `.mrk.json`, or `.json`: a list of ours, or COCO.
        in_patient: whether numbers are patient coordinates (LPS, mm); a markup says itself what they are.

    Raises:
        CaseError: unreadable, or not one of these.
    """
    name = path.name.lower()
    text = _text(path)
    if name.endswith(".csv"):
        return _csv(text, in_patient)
    if not name.endswith(".json"):
        raise CaseError("boxes come as .json (ours or COCO), .csv or .mrk.json")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CaseError("not JSON") from error
    if name.endswith(MARKUP):
        return _understood(slicer_prompts, content, path.name[: -len(MARKUP)])
    if isinstance(content, dict) and "annotations" in content:
        if in_patient:
            raise CaseError("COCO has boxes in pixels, and no patient coordinates: leave out --world")
        return _understood(coco_prompts, content)
    return _understood(_ours, content, in_patient)


def _understood(read: Callable[..., list[Prompt]], *arguments: object) -> list[Prompt]:
    try:
        prompts = read(*arguments)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CaseError(f"not boxes in a form that is known ({type(error).__name__}: {error})") from error
    if not prompts:
        raise CaseError("holds no boxes")
    return prompts


def _text(path: Path) -> str:
    try:
        if regular_size(path) > MOST_BYTES:
            raise CaseError(f"larger than {MOST_BYTES >> 20} MB, which no file of boxes is")
        return path.read_text("utf-8-sig")  # spreadsheets put a mark before UTF-8
    except UnicodeDecodeError as error:
        raise CaseError("not text in UTF-8") from error
    except OSError as error:
        raise CaseError(f"cannot be read ({error.strerror or error})") from error


def _ours(content: Sequence[Mapping[str, Any]], in_patient: bool) -> list[Prompt]:
    """`[{"label": 3, "name": "liver", "box": [...], "file": "a.nii.gz"}]`, of which only `box` is needed."""
    if not isinstance(content, list):
        raise TypeError("a list is expected")
    return [
        Prompt(
            _numbers(entry["box"]),
            PATIENT if in_patient else VOXELS,
            None if entry.get("label") is None else whole(entry["label"]),
            str(entry.get("name") or ""),
            str(entry.get("file") or ""),
        )
        for entry in content
    ]


def _csv(text: str, in_patient: bool) -> list[Prompt]:
    """Columns `x_min, y_min, z_min, x_max, y_max, z_max`, or without z; `label`, `name` and `file` where there are."""
    table = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    fields = [(name or "").strip() for name in table.fieldnames or ()]
    columns = next((some for some in (COLUMNS_3D, COLUMNS_2D) if set(some) <= set(fields)), None)
    if columns is None:
        raise CaseError(f"lacks columns of a box: {', '.join(COLUMNS_3D)} (in 2D without z)")
    table.fieldnames = fields
    prompts = []
    for row in table:
        try:
            label = whole(row["label"]) if (row.get("label") or "").strip() else None
            numbers = _numbers([row[column] for column in columns])
        except (ValueError, TypeError) as error:
            raise CaseError(f"line {table.line_num} is no box ({error})") from error
        name, file = ((row.get(column) or "").strip() for column in ("name", "file"))
        prompts.append(Prompt(numbers, PATIENT if in_patient else VOXELS, label, name, file))
    if not prompts:
        raise CaseError("holds no boxes")
    return prompts


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) not in (4, 6):
        raise ValueError(f"a box has {len(numbers)} numbers, expected 4 or 6")
    return numbers


def whole(value: Any) -> int:
    """A label as a whole number.

    Raises:
        ValueError: it is none.
    """
    number = float(value)
    if number != int(number):
        raise ValueError(f"label {value} is not a whole number")
    return int(number)
