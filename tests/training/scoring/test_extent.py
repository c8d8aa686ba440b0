"""Measuring the extent that is found: what is run, and figures worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from inference.cases.case import Case, make_case
from inference.errors import CaseError
from inference.options import Options
from inference.segment.segment_case import Segmentation
from tests.support.fake_model import FakeModel
from tests.support.filled_box import write_case_in_box
from training.scoring import extent
from training.scoring.extent import FIND, GIVEN, measure, object_row, segment, volumes


def slab(*slices: int, label: int = 1) -> np.ndarray:
    labels = np.zeros((10, 8, 8), np.uint8)
    labels[list(slices)] = label
    return labels


def write_volume(root: Path, name: str, gts: np.ndarray, boxes: list[list[int]]) -> None:
    for part, arrays in (("imgs", {"imgs": 255 * (gts > 0), "boxes": np.array(boxes)}), ("gts", {"gts": gts})):
        (root / part).mkdir(parents=True, exist_ok=True)
        np.savez(root / part / name, **{key: array.astype(np.uint8) for key, array in arrays.items()})


class Runs:
    """In the place of `segment`: returns label maps that are known, and keeps what it was called with."""

    def __init__(self, given: np.ndarray, found: np.ndarray) -> None:
        self.segs = {GIVEN: given, FIND: found}
        self.calls: list[tuple[str, bool, Case]] = []

    def __call__(self, case: Case, runner: object, extent: str, zoom: bool) -> np.ndarray:
        self.calls.append((extent, zoom, case))
        return self.segs[extent]


def test_errors_of_ends_are_above_zero_where_the_mask_goes_too_far():
    truth = slab(3, 4, 5, 6) > 0
    row = object_row(truth, truth, slab(1, 2, 3, 4, 5) > 0)
    assert (row["first"], row["last"], row["found_first"], row["found_last"]) == (3, 6, 1, 5)
    assert (row["first_error"], row["last_error"]) == (2, -1)
    assert (row["dsc_given"], row["dsc_found"]) == (1, pytest.approx(2 * 3 / (4 + 5)))


def test_where_nothing_was_segmented_nothing_was_found():
    truth = slab(3, 4) > 0
    row = object_row(truth, truth, np.zeros_like(truth))
    assert (row["first"], row["last"], row["dsc_found"]) == (3, 4, 0)
    assert row["found_first"] is row["found_last"] is row["first_error"] is row["last_error"] is None


def test_all_objects_of_a_case_go_in_one_run_of_each_kind(tmp_path: Path, monkeypatch):
    gts = slab(1, 2, 3) + slab(6, 7, 8, 9, label=2)
    write_volume(tmp_path, "3DBox_MR_1.npz", gts, [[0, 0, 1, 7, 7, 3], [0, 0, 6, 7, 7, 9]])
    runs = Runs(gts, slab(2, 3) + slab(5, 6, 7, 8, 9, label=2))
    monkeypatch.setattr(extent, "segment", runs)
    measured = measure(FakeModel(), volumes(tmp_path), zoom=False)

    assert [call[:2] for call in runs.calls] == [(GIVEN, False), (FIND, False)]
    given, found = (case for _, _, case in runs.calls)
    assert given.boxes.tolist() == [[0, 0, 1, 7, 7, 3], [0, 0, 6, 7, 7, 9]]
    assert found.boxes.tolist() == [[0, 0, 2, 7, 7, 2], [0, 0, 7, 7, 7, 7]]
    about = {"case": "3DBox_MR_1.npz", "modality": "MR"}
    assert measured.objects == [
        {**about, "object": 1, "slice": 2, "first": 1, "last": 3, "found_first": 2, "found_last": 3,
         "first_error": -1, "last_error": 0, "dsc_given": 1, "dsc_found": 4 / 5},
        {**about, "object": 2, "slice": 7, "first": 6, "last": 9, "found_first": 5, "found_last": 9,
         "first_error": 1, "last_error": 0, "dsc_given": 1, "dsc_found": 8 / 9},
    ]  # fmt: skip
    (case,) = measured.cases
    assert (case["dsc_given"], case["nsd_given"]) == (1, 1)
    assert case["dsc_found"] == pytest.approx((4 / 5 + 8 / 9) / 2)
    assert case["nsd_found"] == 1  # one slice of 1 mm off, within the 2 mm


def test_an_object_that_the_ground_truth_does_not_hold_has_no_row(tmp_path: Path, monkeypatch):
    write_volume(tmp_path, "3DBox_MR_1.npz", slab(1, 2, 3, label=2), [[0, 0, 0, 7, 7, 9], [0, 0, 1, 7, 7, 3]])
    runs = Runs(slab(1), slab(1))
    monkeypatch.setattr(extent, "segment", runs)
    (row,) = measure(FakeModel(), volumes(tmp_path)).objects
    assert row["object"] == 2
    assert runs.calls[1][2].usable.tolist() == [False, True]


def test_the_extent_is_an_option_of_the_runtime_which_propagates(monkeypatch):
    case, runner, segs = make_case(slab(1), np.array([[0, 0, 1, 7, 7, 1]])), FakeModel(), slab(1)

    def segment_case(*arguments: object) -> Segmentation:
        assert arguments[:2] == (case, runner)
        seen.append(arguments[2])
        return Segmentation(segs, [])

    seen: list[object] = []
    monkeypatch.setattr(extent, "segment_case", segment_case)
    assert segment(case, runner, GIVEN, zoom=True) is segment(case, runner, FIND, zoom=False) is segs
    assert seen == [
        Options(strategy="propagate", extent="given", zoom=True),
        Options(strategy="propagate", extent="find", zoom=False),
    ]


def test_only_volumes_count_and_the_limit_is_of_each_modality(tmp_path: Path):
    for name in ("2DBox_CT_1.npz", "3DBox_CT_1.npz", "3DBox_CT_2.npz", "3DBox_MR_1.npz"):
        write_case_in_box(tmp_path, name, rows=50, depth=2 * name.startswith("3D"))
    assert [path.name for path in volumes(tmp_path)] == ["3DBox_CT_1.npz", "3DBox_CT_2.npz", "3DBox_MR_1.npz"]
    assert [path.name for path in volumes(tmp_path, limit=1)] == ["3DBox_CT_1.npz", "3DBox_MR_1.npz"]
    with pytest.raises(ValueError, match="holds no validation case"):
        volumes(tmp_path / "none")
    for path in volumes(tmp_path):
        path.unlink()
    with pytest.raises(ValueError, match=r"imgs: holds no volume"):
        volumes(tmp_path)


def test_a_case_that_does_not_fit_its_ground_truth_or_fails_is_named(tmp_path: Path, monkeypatch):
    write_volume(tmp_path, "3DBox_MR_1.npz", slab(1, 2, 3), [[0, 0, 1, 7, 7, 3]])
    monkeypatch.setattr(extent, "segment", refuse)
    with pytest.raises(ValueError, match=r"imgs/3DBox_MR_1\.npz: too large"):
        measure(FakeModel(), volumes(tmp_path))
    np.savez(tmp_path / "gts/3DBox_MR_1.npz", gts=np.ones((2, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"imgs/3DBox_MR_1\.npz: the image has \(10, 8, 8\) voxels, the ground truth"):
        measure(FakeModel(), volumes(tmp_path))


def refuse(*arguments: object) -> np.ndarray:
    raise CaseError("too large")
