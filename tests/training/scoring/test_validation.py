"""Validation: which cases are chosen, that arrays and not names decide, and scores worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.filled_box import FilledBox, write_case_in_box
from training.scoring.means import by_modality
from training.scoring.validation import ValidationConfig, validate, validation_cases


def test_scores_and_their_means_in_2d(tmp_path: Path):
    for name, rows in (("2DBox_CT_1.npz", 25), ("2DBox_CT_2.npz", 50), ("2DBox_US_1.npz", 100)):
        write_case_in_box(tmp_path, name, rows)
    scores = validate(FilledBox(), ValidationConfig(root=str(tmp_path)))
    assert list(scores.columns) == ["case", "modality", "dimensions", "dsc"]
    assert scores["dsc"].tolist() == pytest.approx([0.4, 2 / 3, 1])
    # (0.4 + 2/3) / 2 = 8/15 of CT and 1 of US: 23/30 on average.
    assert by_modality(scores) == pytest.approx({"CT": 8 / 15, "US": 1, "mean": 23 / 30})


def test_scores_of_volumes_with_nsd(tmp_path: Path):
    write_case_in_box(tmp_path, "2DBox_US_1.npz", rows=5)
    write_case_in_box(tmp_path, "3DBox_CT_1.npz", rows=50, depth=3)
    write_case_in_box(tmp_path, "3DBox_MR_1.npz", rows=100, depth=3)
    scores = validate(FilledBox(), ValidationConfig(root=str(tmp_path), volumes=True), nsd=True)
    assert scores["dimensions"].tolist() == ["2D", "3D", "3D"]
    assert scores["dsc"].tolist() == pytest.approx([10 / 105, 2 / 3, 1])
    assert scores["nsd"][[0, 2]].tolist() == [0, 1]  # 0, as DSC is below 0.2
    assert 0 < scores["nsd"][1] < 1
    assert by_modality(scores[1:]) == pytest.approx({"CT": 2 / 3, "MR": 1, "mean": 5 / 6})


def test_arrays_and_not_the_name_decide_what_a_case_is(tmp_path: Path):
    write_case_in_box(tmp_path, "case1.npz", rows=50)
    write_case_in_box(tmp_path, "2DBox_CT_volume.npz", rows=50, depth=2)
    assert [path.name for path in validation_cases(ValidationConfig(root=str(tmp_path)))] == ["case1.npz"]
    scores = validate(FilledBox(), ValidationConfig(root=str(tmp_path), volumes=True))
    assert scores[["case", "modality", "dimensions"]].values.tolist() == [
        ["2DBox_CT_volume.npz", "CT", "3D"],
        ["case1.npz", "unknown", "2D"],
    ]


def test_the_limit_is_of_each_modality_in_2d_and_in_3d(tmp_path: Path):
    names = ["2DBox_CT_1.npz", "2DBox_CT_2.npz", "2DBox_US_1.npz", "3DBox_CT_1.npz", "3DBox_CT_2.npz", "a.npz", "b.npz"]
    for name in names:
        write_case_in_box(tmp_path, name, rows=50, depth=2 * name.startswith("3D"))
    chosen = validation_cases(ValidationConfig(root=str(tmp_path), volumes=True, limit=1))
    assert [path.name for path in chosen] == ["2DBox_CT_1.npz", "2DBox_US_1.npz", "3DBox_CT_1.npz", "a.npz"]


def test_a_case_without_ground_truth_is_named(tmp_path: Path):
    config = ValidationConfig(root=str(tmp_path))
    write_case_in_box(tmp_path, "2DBox_US_1.npz", rows=50)
    (tmp_path / "gts/2DBox_US_1.npz").unlink()
    with pytest.raises(ValueError, match=r"gts/2DBox_US_1\.npz: cannot be read"):
        validate(FilledBox(), config)
    np.savez(tmp_path / "gts/2DBox_US_1.npz", masks=np.zeros((256, 256), np.uint8))
    with pytest.raises(ValueError, match=r"gts/2DBox_US_1\.npz: array 'gts' is missing"):
        validate(FilledBox(), config)
    with pytest.raises(ValueError, match="holds no validation case"):
        validate(FilledBox(), ValidationConfig(root=str(tmp_path / "none")))


def test_a_case_that_does_not_fit_its_ground_truth_is_named(tmp_path: Path):
    write_case_in_box(tmp_path, "2DBox_US_1.npz", rows=50)
    np.savez(tmp_path / "gts/2DBox_US_1.npz", gts=np.ones((5, 5), np.uint8))
    with pytest.raises(ValueError, match=r"2DBox_US_1\.npz: label maps of shapes \(5, 5\) and \(256, 256\)"):
        validate(FilledBox(), ValidationConfig(root=str(tmp_path)))
