"""The command that measures how much masks depend on how boxes are drawn."""

import csv
from pathlib import Path

import pytest

from inference.errors import EXIT_OK, EXIT_SETUP
from tests.support.filled_box import FilledBox, write_case_in_box
from training import box_styles
from training.scoring.torch_model import TorchModel


@pytest.fixture(autouse=True)
def filled_box(monkeypatch):
    monkeypatch.setattr(box_styles, "open_runner", lambda *arguments: TorchModel(FilledBox()))


def test_tables_and_a_row_per_case_and_style(tmp_path: Path, capsys):
    write_case_in_box(tmp_path, "2DBox_CT_1.npz", rows=50)
    write_case_in_box(tmp_path, "3DBox_CT_1.npz", rows=50, depth=2)
    file = tmp_path / "styles.csv"
    assert box_styles.main(["--root", str(tmp_path), "--csv", str(file), "--no-zoom"]) == EXIT_OK
    of_dsc, of_nsd = capsys.readouterr().out.strip().split("\n\n")
    assert of_dsc.startswith("DSC, by how the boxes are drawn")
    assert of_dsc.splitlines()[-1].startswith("mean over modalities")
    assert of_nsd.startswith("NSD")
    with file.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["case"] for row in rows] == ["2DBox_CT_1.npz"] * 6
    assert [row["style"] for row in rows][:2] == ["given", "tight"]


def test_what_cannot_be_used_is_one_line(tmp_path: Path, capsys):
    assert box_styles.main(["--root", str(tmp_path / "none")]) == EXIT_SETUP
    assert capsys.readouterr().err == f"{tmp_path}/none/imgs: holds no validation case\n"
    write_case_in_box(tmp_path, "2DBox_CT_1.npz", rows=50)
    assert box_styles.main(["--root", str(tmp_path), "--csv", "/nonexistent/a.csv", "--no-zoom"]) == EXIT_SETUP
    assert capsys.readouterr().err.endswith("/nonexistent/a.csv: cannot be written (No such file or directory)\n")
