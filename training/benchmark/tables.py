"""Tables on the terminal."""

from collections.abc import Sequence

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
