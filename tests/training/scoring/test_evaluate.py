"""Scoring a folder: the means, the ways a segmentation can be missing, and what a user sees."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from inference.errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_SETUP, SetupError
from training.evaluate import ALL, MEAN, evaluate_folder, main, modality_of, summarise


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two CT cases (DSC 1 and 0.5), an MR one (1), an MR volume (0.8); 2D and 3D."""
    segs, gts = tmp_path / "segs", tmp_path / "gts"
    segs.mkdir()
    gts.mkdir()
    two_squares = np.zeros((20, 20), np.uint8)
    two_squares[2:6, 2:6], two_squares[10:14, 10:14] = 1, 2
    half = np.where(two_squares == 2, 0, two_squares)
    slab, thicker = np.zeros((6, 12, 12), np.uint8), np.zeros((6, 12, 12), np.uint8)
    slab[:2], thicker[:3] = 1, 1
    write(gts, segs, "2DBox_CT_a.npz", two_squares, two_squares)
    write(gts, segs, "2DBox_CT_b.npz", two_squares, half)
    write(gts, segs, "2DBox_MR_a.npz", two_squares, two_squares)
    write(gts, segs, "3DBox_MR_a.npz", slab, thicker, spacing=np.float32([1, 1, 1]))
    return segs, gts


def write(gts: Path, segs: Path, name: str, gt: np.ndarray, seg: np.ndarray, **extra: np.ndarray) -> None:
    np.savez(gts / name, gts=gt, **extra)
    np.savez(segs / name, segs=seg)


def arguments(folders: tuple[Path, Path], *more: str) -> list[str]:
    return ["--segs", str(folders[0]), "--gts", str(folders[1]), "--workers", "1", *more]


def test_modality_comes_from_the_name():
    assert modality_of("2DBox_X-Ray_0001.npz") == "X-Ray"
    assert modality_of("3DBox_CT_AMOS_0001.npz") == "CT"
    assert modality_of("scan.npz") == "unknown"


def test_means_over_cases_then_over_modalities(folders):
    scores = evaluate_folder(*folders, workers=1)
    assert list(scores["case"]) == ["2DBox_CT_a.npz", "2DBox_CT_b.npz", "2DBox_MR_a.npz", "3DBox_MR_a.npz"]
    assert list(scores["objects"]) == [2, 2, 2, 1]
    assert list(scores["dsc"]) == [1, 0.5, 1, 0.8]
    means = summarise(scores)["dsc"]
    assert means["2D", "CT"] == 0.75
    assert means["2D", MEAN] == (0.75 + 1) / 2  # not the mean over the three cases
    assert means["3D", MEAN] == 0.8
    assert means[ALL, "MR"] == 0.9
    assert means[ALL, MEAN] == pytest.approx((0.75 + 0.9) / 2)
    assert summarise(scores)["cases"][ALL, MEAN] == 4


def test_no_table_for_both_where_there_is_one_kind(folders):
    scores = evaluate_folder(*folders, workers=1)
    assert set(summarise(scores[:3]).index.get_level_values("dimensions")) == {"2D"}


def test_processes_give_the_same_scores(folders):
    pd.testing.assert_frame_equal(evaluate_folder(*folders, workers=2), evaluate_folder(*folders, workers=1))


def test_spacing_of_the_ground_truth_is_used(folders):
    segs, gts = folders
    with np.load(gts / "3DBox_MR_a.npz") as case:
        np.savez(gts / "3DBox_MR_a.npz", gts=case["gts"], spacing=np.float32([3, 1, 1]))
    nsd = evaluate_folder(segs, gts, workers=1).set_index("case")["nsd"]
    assert nsd["3DBox_MR_a.npz"] < 0.8


def test_clean_run(folders, capsys):
    assert main(arguments(folders)) == EXIT_OK
    output = capsys.readouterr()
    assert output.err == ""
    assert "2DBox_CT_b.npz        2 0.5000 0.5000" in output.out
    assert f"{MEAN}      3 0.8750 0.8750" in output.out
    assert ALL in output.out


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
    assert f"{MEAN}      3 0.8750" in output.out


def test_case_without_objects_counts_in_no_mean(folders):
    segs, gts = folders
    write(gts, segs, "2DBox_CT_c.npz", np.zeros((9, 9), np.uint8), np.ones((9, 9), np.uint8))
    scores = evaluate_folder(segs, gts, workers=1)
    assert scores["dsc"].isna().sum() == 1
    assert summarise(scores)["dsc"]["2D", "CT"] == 0.75


def test_boolean_segmentation_of_one_object(folders):
    segs, gts = folders
    square = np.zeros((9, 9), bool)
    square[2:5, 2:5] = True
    write(gts, segs, "2DBox_US_a.npz", square.astype(np.uint8), square)
    assert evaluate_folder(segs, gts, workers=1).set_index("case").loc["2DBox_US_a.npz", "dsc"] == 1


def test_csv(folders, tmp_path):
    file = tmp_path / "scores.csv"
    (folders[0] / "2DBox_CT_a.npz").unlink()
    assert main(arguments(folders, "--csv", str(file))) == EXIT_CASE_FAILED
    table = pd.read_csv(file, keep_default_na=False)
    assert list(table.columns) == ["case", "modality", "dimensions", "objects", "dsc", "nsd", "problem"]
    assert list(table["dsc"]) == [0, 0.5, 1, 0.8]
    assert [bool(problem) for problem in table["problem"]] == [True, False, False, False]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gts", "scores.csv", "segs"]


def test_csv_that_cannot_be_written(folders, capsys):
    assert main(arguments(folders, "--csv", "/nonexistent/scores.csv")) == EXIT_SETUP
    output = capsys.readouterr()
    assert output.err == "/nonexistent/scores.csv: cannot be written (No such file or directory)\n"
    assert MEAN in output.out


def test_folders_that_are_not_there(folders, tmp_path, capsys):
    segs, gts = folders
    with pytest.raises(SetupError, match="no ground truths"):
        evaluate_folder(segs, tmp_path / "nowhere")
    with pytest.raises(SetupError, match="no such folder"):
        evaluate_folder(tmp_path / "nowhere", gts)
    assert main(arguments((tmp_path / "nowhere", gts))) == EXIT_SETUP
    assert str(tmp_path / "nowhere") in capsys.readouterr().err


def test_perfect_score_on_real_ground_truths(shared_data, tmp_path):
    gts = shared_data / "val" / "gts"
    names = ["2DBox_Microscopy_0001.npz", "3DBox_CT_0001.npz", "3DBox_MR_0008.npz"]
    for folder in ("segs", "gts"):
        (tmp_path / folder).mkdir()
    for name in names:
        (tmp_path / "gts" / name).symlink_to(gts / name)
        with np.load(gts / name) as case:
            np.savez(tmp_path / "segs" / name, segs=case["gts"])
    scores = evaluate_folder(tmp_path / "segs", tmp_path / "gts", workers=1)
    assert (scores[["dsc", "nsd"]] == 1).all(axis=None)
