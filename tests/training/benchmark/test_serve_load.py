"""The table of how the server holds up under load."""

import csv

import numpy as np
import pytest

from training.benchmark.cpu import cpu, cpu_line
from training.benchmark.serve_load import (
    EXTENT,
    IMAGE,
    IMAGE_IN_SERVER,
    PACKING,
    READY,
    SLICE,
    UNDO,
    Timed,
    main,
    row,
)  # fmt: skip


def test_a_row_is_of_one_kind_of_request():
    done = [Timed(SLICE, seconds / 100) for seconds in range(1, 101)] + [Timed(UNDO, 9.0)]
    expected = {"count": 100, "refused": 0, "per_second": 5, "median": 0.505, "p99": 0.9901}
    assert row(3, SLICE, done, 20.0) == pytest.approx({"sessions": 3, "request": SLICE, **expected})


def test_what_was_refused_is_counted_and_not_timed():
    done = [Timed(EXTENT, 2.0), Timed(EXTENT, 25.0, is_refused=True)]
    assert {"count": 2, "refused": 1, "median": 2.0, "p99": 2.0}.items() <= row(3, EXTENT, done, 50.0).items()
    assert np.isnan(row(3, EXTENT, done[1:], 50.0)["median"])


def test_table_of_a_small_load(tmp_path, capsys):
    main(["--sessions", "2", "--rounds", "2", "--shape", "12", "64", "64", "--out", str(tmp_path)])
    with (tmp_path / "serve_load.csv").open(newline="") as file:
        rows = {row["request"]: row for row in csv.DictReader(file)}
    assert {kind: row["count"] for kind, row in rows.items()} == {
        IMAGE: "2", PACKING: "2", IMAGE_IN_SERVER: "", READY: "2", SLICE: "4", EXTENT: "4", UNDO: "4"
    }  # fmt: skip
    assert float(rows[IMAGE_IN_SERVER]["median"]) <= float(rows[IMAGE]["p99"])
    assert float(rows[IMAGE]["median"]) <= float(rows[READY]["p99"])
    assert all(float(row["peak_mb"]) > 50 for row in rows.values())
    assert all(row["cpu"] == cpu()["cpu"] for row in rows.values())
    _, of_cpu, columns, *lines = capsys.readouterr().out.splitlines()
    assert of_cpu == cpu_line()
    assert columns.split() == ["sessions", "request", "count", "refused", "per_second", "median", "p99", "peak_mb"]
    assert len(lines) == 7
