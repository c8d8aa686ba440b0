"""Tables on disk: rows as CSV."""

import csv
import io
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from inference.atomic import write_atomically


def write_csv(path: Path, rows: Iterable[Mapping[str, object]], floats: str = "") -> None:
    """Write rows as CSV, whole or not at all, into a folder that is there.

    Columns come in the order in which they first occur. What is missing, None or NaN is an empty cell.

    Args:
        floats: format of floating-point numbers, e.g. `.6f`; without it, all their digits.

    Raises:
        OSError: the file cannot be written.
    """
    rows = [{name: _cell(value, floats) for name, value in row.items()} for row in rows]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def save_scores(path: Path | None, rows: Iterable[Mapping[str, object]]) -> bool:
    """Write rows of scores, if there is a path; False, with a line on standard error, where that cannot be done."""
    try:
        if path is not None:
            write_csv(path, rows, floats=".6f")
    except OSError as error:
        print(f"{path}: cannot be written ({error.strerror})", file=sys.stderr)
        return False
    return True


def _cell(value: object, floats: str) -> object:
    if value is None or value != value:
        return ""
    return format(value, floats) if isinstance(value, float) else value
