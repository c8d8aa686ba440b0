"""The command that scores a folder: the ways a segmentation can be missing, and what a user sees."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from inference.errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_SETUP
from tests.support.scored_folders import write_scored_folders
from training.evaluate import main
from training.scoring.folder import ALL
from training.scoring.means import MEAN_TITLE


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write_scored_folders(tmp_path)


def arguments(folders: tuple[Path, Path], *more: str) -> list[str]:
    return ["--segs", str(folders[0]), "--gts", str(folders[1]), "--workers", "1", *more]


def test_clean_run(folders, capsys):
    assert main(arguments(folders)) == EXIT_OK
    output = capsys.readouterr()
    assert output.err == ""
    assert "2DBox_CT_b.npz        2 0.5000 0.5000" in output.out
    assert f"{MEAN_TITLE}      3 0.8750 0.8750" in output.out
    assert ALL in output.out


def test_ends_are_shown_where_there_are_volumes(folders, capsys):
    assert main(arguments(folders)) == EXIT_OK
    cases, flat, deep, both = capsys.readouterr().out.split("\n\n")
    assert cases.splitlines()[0].split() == ["case", "objects", "DSC", "NSD", "ends"]
    assert cases.splitlines()[1].split() == ["2DBox_CT_a.npz", "2", "1.0000", "1.0000"]
    assert cases.splitlines()[4].split() == ["3DBox_MR_a.npz", "1", "0.8000", "1.0000", "1.0000"]
    assert flat.splitlines()[1].split() == ["cases", "DSC", "NSD"]
    assert deep.splitlines()[1].split() == both.splitlines()[1].split() == ["cases", "DSC", "NSD", "ends"]
    assert both.splitlines()[2].split() == ["CT", "2", "0.7500", "0.7500"]
    assert both.splitlines()[3].split() == ["MR", "2", "0.9000", "1.0000", "1.0000"]


def break_missing(file: Path) -> None:
    file.unlink()


def break_text(file: Path) -> None:
    file.write_text("no zip archive")


def break_truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:300])


def break_key(file: Path) -> None:
    np.savez(file, masks=np.zeros((20, 20), np.uint8))


def break_shape(file: Path) -> None:
    np.savez(file, segs=np.zeros((20, 21), np.uint8))


def break_dimensions(file: Path) -> None:
    np.savez(file, segs=np.zeros((1, 20, 20), np.uint8))


def break_type(file: Path) -> None:
    np.savez(file, segs=np.zeros((20, 20), np.float32))


def break_pickle(file: Path) -> None:
    np.savez(file, segs=np.array([[{}] * 20] * 20, object))


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (break_missing, "No such file"),
        (break_text, "zip"),
        (break_truncated, "zip"),
        (break_key, "'segs' is missing"),
        (break_shape, r"shape \(20, 21\)"),
        (break_dimensions, r"shape \(1, 20, 20\)"),
        (break_type, "float32"),
        (break_pickle, "pickle"),
    ],
)
def test_unusable_segmentation_scores_zero(folders, capsys, break_it, reason):
    broken = folders[0] / "2DBox_CT_a.npz"
    break_it(broken)
    assert main(arguments(folders)) == EXIT_CASE_FAILED
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(str(broken))
    assert lines[0].endswith("scores 0")
    assert pd.Series(lines).str.contains(reason).all()
    assert "2DBox_CT_a.npz        2 0.0000 0.0000" in output.out
    assert "CT                        2 0.2500 0.2500" in output.out
    assert "3DBox_MR_a.npz        1 0.8000" in output.out


@pytest.mark.parametrize(
    "bad",
    [
        {"masks": np.zeros((6, 12, 12), np.uint8)},
        {"gts": np.zeros((6, 12, 12), np.uint8), "spacing": np.float32([0, 1, 1])},
        {"gts": np.zeros(6, np.uint8)},
    ],
)
def test_unusable_ground_truth_is_not_scored(folders, capsys, bad):
    broken = folders[1] / "3DBox_MR_a.npz"
    np.savez(broken, **bad)
    if "gts" in bad:
        np.savez(folders[0] / broken.name, segs=bad["gts"])
    assert main(arguments(folders)) == EXIT_CASE_FAILED
    output = capsys.readouterr()
    assert output.err.startswith(str(broken))
    assert output.err.endswith("not scored\n")
    assert f"{MEAN_TITLE}      3 0.8750" in output.out


def test_csv(folders, tmp_path):
    file = tmp_path / "scores.csv"
    (folders[0] / "2DBox_CT_a.npz").unlink()
    assert main(arguments(folders, "--csv", str(file))) == EXIT_CASE_FAILED
    table = pd.read_csv(file, keep_default_na=False)
    assert list(table.columns) == ["case", "modality", "dimensions", "objects", "dsc", "nsd", "ends", "problem"]
    assert list(table["dsc"]) == [0, 0.5, 1, 0.8]
    assert list(table["ends"]) == ["", "", "", "1.000000"]
    assert [bool(problem) for problem in table["problem"]] == [True, False, False, False]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gts", "scores.csv", "segs"]


def test_csv_that_cannot_be_written(folders, capsys):
    assert main(arguments(folders, "--csv", "/nonexistent/scores.csv")) == EXIT_SETUP
    output = capsys.readouterr()
    assert output.err == "/nonexistent/scores.csv: cannot be written (No such file or directory)\n"
    assert MEAN_TITLE in output.out


def test_folders_that_are_not_there(folders, tmp_path, capsys):
    assert main(arguments((tmp_path / "nowhere", folders[1]))) == EXIT_SETUP
    assert str(tmp_path / "nowhere") in capsys.readouterr().err


def test_a_ground_truth_that_cannot_be_read_and_whose_name_says_nothing(folders, capsys):
    (folders[1] / "scan.npz").write_text("no zip archive")
    assert main(arguments(folders)) == EXIT_CASE_FAILED
    output = capsys.readouterr()
    assert output.err.startswith(str(folders[1] / "scan.npz"))
    scopes = [line for line in output.out.splitlines() if line in ("2D", "3D", ALL, "unknown", "sc")]
    assert scopes == ["2D", "3D", "unknown", ALL]
