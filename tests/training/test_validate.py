"""The command that scores a checkpoint or a pair: its tables, and what it says where it cannot."""

from pathlib import Path

import pytest

from tests.support.filled_box import FilledBox, write_case_in_box
from training import validate
from training.scoring.torch_model import TorchModel


@pytest.fixture
def filled_box(monkeypatch):
    """`FilledBox` in the place of whatever checkpoint is named."""
    monkeypatch.setattr(validate, "open_runner", lambda *arguments: TorchModel(FilledBox()))


def test_a_table_of_means_for_2d_and_one_for_3d(tmp_path: Path, filled_box, capsys):
    write_case_in_box(tmp_path, "2DBox_CT_1.npz", rows=25)
    write_case_in_box(tmp_path, "2DBox_CT_2.npz", rows=100)
    write_case_in_box(tmp_path, "case1.npz", rows=50)
    write_case_in_box(tmp_path, "3DBox_MR_1.npz", rows=50, depth=2)
    assert validate.main(["any.pt", "--root", str(tmp_path), "--volumes"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    # CT: (0.4 + 1) / 2; a name without a modality: 2/3; both: (0.7 + 2/3) / 2.
    assert lines[:5] == [["2D,", "3", "cases"], ["DSC"], ["CT", "0.700"], ["unknown", "0.667"], ["mean", "0.683"]]
    assert lines[5:] == [["3D,", "1", "cases"], ["DSC"], ["MR", "0.667"], ["mean", "0.667"]]


def test_nsd_is_a_second_column(tmp_path: Path, filled_box, capsys):
    write_case_in_box(tmp_path, "2DBox_CT_1.npz", rows=100)
    assert validate.main(["any.pt", "--root", str(tmp_path), "--nsd"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["       DSC   NSD", "CT   1.000 1.000", "mean 1.000 1.000"]


def test_a_folder_without_cases_is_one_line(tmp_path: Path, filled_box, capsys):
    assert validate.main(["any.pt", "--root", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/none/imgs: holds no validation case\n"
