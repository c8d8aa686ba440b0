"""A table of what was measured, with the CPU that it was measured on."""

from collections.abc import Sequence
from pathlib import Path

from training.benchmark.cpu import cpu, cpu_line
from training.benchmark.tables import Row, text_table
from training.scoring.csv_table import write_csv


def measured_table(rows: Sequence[Row], csv: Path | None = None, before: Sequence[Row] = ()) -> None:
    """Print the CPU and a table of `rows`; write both as columns into a file, whose folder is made.

    Args:
        before: further rows for the file, above the others.

    Raises:
        OSError: the file cannot be written.
    """
    if csv:
        csv.parent.mkdir(parents=True, exist_ok=True)
        write_csv(csv, [row | cpu() for row in (*before, *rows)])
    print(f"\n{cpu_line()}\n{text_table(rows)}", flush=True)
