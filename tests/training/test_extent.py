"""The command that measures the extent found: its tables, its CSV, and what it says where it cannot."""

import csv
from pathlib import Path

import pytest

from inference.errors import EXIT_OK, EXIT_SETUP
from tests.support.filled_box import FilledBox, write_case_in_box
from training import extent
from training.scoring import extent as scoring_extent
from training.scoring.torch_model import TorchModel


@pytest.fixture
def filled_box(monkeypatch):
    """`FilledBox` in the place of whatever weights are named; it follows nothing: a box on one slice is that slice."""
    monkeypatch.setattr(extent, "open_runner", lambda *arguments: TorchModel(FilledBox()))
    monkeypatch.setattr(scoring_extent, "FIND", scoring_extent.GIVEN)


def test_tables_and_a_row_per_object(tmp_path: Path, filled_box, capsys):
    write_case_in_box(tmp_path, "2DBox_CT_1.npz", rows=50)
    write_case_in_box(tmp_path, "3DBox_CT_1.npz", rows=100, depth=6)
    write_case_in_box(tmp_path, "3DBox_MR_1.npz", rows=50, depth=3)
    file = tmp_path / "extent.csv"
    assert extent.main(["--root", str(tmp_path), "--csv", str(file), "--no-zoom"]) == EXIT_OK
    of_ends, of_scores = capsys.readouterr().out.strip().split("\n\n")
    lines = [line.split() for line in of_ends.splitlines()]
    assert lines[2] == ["CT", "1", "0", "0.500", "2.500", "2.500", "-2.500"]
    assert lines[4] == ["all", "objects", "2", "0", "0.750", "1.500", "1.750", "-1.750"]
    lines = [line.split() for line in of_scores.splitlines()]
    assert [line[:3] for line in lines[2:4]] == [["CT", "1", "1.0000"], ["MR", "1", "0.6667"]]
    assert lines[4][:5] == ["mean", "over", "modalities", "2", "0.8333"]
    with file.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert list(rows[0]) == ["case", "modality", "object", "slice", "first", "last", "found_first", "found_last",
                             "first_error", "last_error", "dsc_given", "dsc_found"]  # fmt: skip
    assert [row["case"] for row in rows] == ["3DBox_CT_1.npz", "3DBox_MR_1.npz"]
    assert [list(row.values())[2:11] for row in rows] == [
        ["1", "2", "0", "5", "2", "2", "-2", "-3", "1.000000"],
        ["1", "1", "0", "2", "1", "1", "-1", "-1", "0.666667"],
    ]


def test_what_cannot_be_used_is_one_line(tmp_path: Path, filled_box, capsys):
    assert extent.main(["--root", str(tmp_path / "none")]) == EXIT_SETUP
    assert capsys.readouterr().err == f"{tmp_path}/none/imgs: holds no validation case\n"
    write_case_in_box(tmp_path, "3DBox_CT_1.npz", rows=50, depth=1)
    assert extent.main(["--root", str(tmp_path), "--csv", "/nonexistent/extent.csv", "--no-zoom"]) == EXIT_SETUP
    output = capsys.readouterr()
    assert output.err.endswith("/nonexistent/extent.csv: cannot be written (No such file or directory)\n")
    assert "mean over modalities" in output.out
