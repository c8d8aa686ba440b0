"""Tables: on the terminal in columns, on disk as CSV."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

Row = dict[str, str | int | float | None]  # None: not measured, shown as a dash


def text_table(rows: Sequence[Row]) -> str:
    """Rows under the first one's keys; numbers to the right, with the digits that they deserve."""
    columns = list(rows[0])
    cells = [columns] + [[shown(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    numeric = [any(isinstance(row[column], int | float) for row in rows) for column in columns]
    lines = []
    for line in cells:
        padded = [
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, numeric, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def shown(value: str | int | float | None) -> str:
    """Three significant digits; whole numbers from 100 on."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows under the first one's keys; the file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
