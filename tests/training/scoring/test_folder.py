"""Scoring a folder: the scores of its cases and the means over modalities."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from inference.errors import SetupError
from tests.support.scored_folders import write_pair, write_scored_folders
from training.scoring.folder import ALL, evaluate_folder, summarise
from training.scoring.means import MEAN


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write_scored_folders(tmp_path)


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


def test_ends_of_volumes_count_in_means_and_images_have_none(folders):
    segs, gts = folders
    one_of_two = np.zeros((4, 6, 6), np.uint8)
    one_of_two[1] = 1
    write_pair(segs, gts, "3DBox_CT_a.npz", np.ones((4, 6, 6), np.uint8), one_of_two)  # its ends are slices 0 and 3
    scores = evaluate_folder(*folders, workers=1)
    assert list(scores["ends"].dropna()) == [0, 1]
    means = summarise(scores)["ends"]
    assert means["3D", "CT"] == means[ALL, "CT"] == 0
    assert means["3D", MEAN] == means[ALL, MEAN] == 0.5
    assert means["2D"].isna().all()


def test_ends_of_a_missing_volume_are_zero_and_of_a_missing_image_blank(folders):
    segs, _ = folders
    (segs / "2DBox_CT_a.npz").unlink()
    (segs / "3DBox_MR_a.npz").unlink()
    ends = evaluate_folder(*folders, workers=1).set_index("case")["ends"]
    assert np.isnan(ends["2DBox_CT_a.npz"])
    assert ends["3DBox_MR_a.npz"] == 0


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


def test_case_without_objects_counts_in_no_mean(folders):
    segs, gts = folders
    write_pair(segs, gts, "2DBox_CT_c.npz", np.zeros((9, 9), np.uint8), np.ones((9, 9), np.uint8))
    scores = evaluate_folder(segs, gts, workers=1)
    assert scores["dsc"].isna().sum() == 1
    assert not scores["problem"].any()
    assert summarise(scores)["dsc"]["2D", "CT"] == 0.75


def test_boolean_segmentation_of_one_object(folders):
    segs, gts = folders
    square = np.zeros((9, 9), bool)
    square[2:5, 2:5] = True
    write_pair(segs, gts, "2DBox_US_a.npz", square.astype(np.uint8), square)
    assert evaluate_folder(segs, gts, workers=1).set_index("case").loc["2DBox_US_a.npz", "dsc"] == 1


def test_folders_that_are_not_there(folders, tmp_path):
    segs, gts = folders
    with pytest.raises(SetupError, match="no ground truths"):
        evaluate_folder(segs, tmp_path / "nowhere")
    with pytest.raises(SetupError, match="no such folder"):
        evaluate_folder(tmp_path / "nowhere", gts)


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
    assert (scores["ends"] == [None, 1, 1]).tolist() == [False, True, True]
