"""Challenge cases of people's own label maps: which files belong together, what cases hold, what stays untouched."""

from pathlib import Path

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest

from inference.cases.intensity import rescale_percentiles, window_level
from inference.cli import main as inference_main
from inference.errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_SETUP, SetupError
from tests.support.data_root import write_ct_and_ultrasound
from training import cases
from training.data.labelled_case import LabelledCase
from training.data.labelled_files import find_labelled
from training.data.phantoms import phantom_case_2d, phantom_volume
from training.evaluate import main as evaluate_main
from training.scoring.challenge_case import prompted

WEIGHTS = Path(__file__).parents[2] / "weights"


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(cases, "in_parallel", lambda function, items, *_: map(function, items))


def run(*arguments: object) -> int:
    return cases.main(list(map(str, arguments)))


def write_picture(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), array)


def write_nifti(path: Path, array: np.ndarray) -> None:
    """(D, H, W) of slices 3 mm apart with pixels of 0.5 mm, as slices, rows and columns follow each other on screen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.ascontiguousarray(array.transpose(2, 1, 0)[::-1, ::-1])
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.5, 3, 1])), path)


def load(folder: Path, part: str, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / part / f"{name}.npz") as arrays:
        return dict(arrays)


def test_cases_of_images_and_volumes_go_through_runtime_and_scores(tmp_path, capsys):
    root, out, segs = tmp_path / "labelled", tmp_path / "val", tmp_path / "segs"
    write_ct_and_ultrasound(root)  # npz
    picture = phantom_case_2d((90, 120), n_boxes=3, seed=1)
    write_picture(root / "US/pictures/a.jpg", picture.imgs)
    write_picture(root / "US/pictures/a.png", picture.gts)
    volume = phantom_volume((8, 64, 64), n_boxes=2, seed=20)
    write_nifti(root / "MR/scans/imagesTr/p1.nii.gz", volume.imgs)
    write_nifti(root / "MR/scans/labelsTr/p1.nii.gz", volume.gts)

    assert run(root, "--out", out, "--workers", 2) == EXIT_OK
    assert f"{out}: 6 cases made, 0 were there before, 0 failed" in capsys.readouterr().out
    given = load(out, "imgs", "3DBox_MR_scans_p1"), load(out, "gts", "3DBox_MR_scans_p1")
    for arrays in given:
        np.testing.assert_allclose(arrays["spacing"], [3, 0.5, 0.5])
    np.testing.assert_array_equal(given[1]["gts"], volume.gts)
    assert load(out, "imgs", "2DBox_US_pictures_a")["boxes"].shape == (3, 4)

    assert inference_main(["-i", str(out / "imgs"), "-o", str(segs), "--weights", str(WEIGHTS)]) == EXIT_OK
    scores = tmp_path / "scores.csv"
    arguments = ["--segs", segs, "--gts", out / "gts", "--csv", scores, "--workers", 1]
    assert evaluate_main(list(map(str, arguments))) == EXIT_OK
    table = pd.read_csv(scores)
    assert sorted(table["modality"]) == ["CT", "CT", "MR", "US", "US", "US"]
    assert table["dsc"].min() > 0.6  # a box belongs to the object of its number


def test_boxes_are_drawn_as_the_challenge_draws_them():
    gts = np.zeros((9, 200, 400), np.uint8)
    gts[2:6, 50:100, 100:300] = 7
    gts[4, 0:20, 0:40] = 2
    gts[8, 150:152, 300:340] = 5  # thin: 1.3 px where the image has 256
    gts[8, 190:195, 390:395] = 6  # 25 voxels
    boxes, numbered, left_out = prompted(LabelledCase(gts, gts, np.ones(3, np.float32)), "3DBox_MR_a")
    assert left_out == 2
    np.testing.assert_array_equal(numbered, np.select([gts == 2, gts == 7], [1, 2]))
    assert boxes[:, [2, 5]].tolist() == [[4, 4], [2, 5]]
    outward = np.array([[0, 0, 39, 19], [100, 50, 299, 99]]) - boxes[:, [0, 1, 3, 4]]
    assert (outward[:, :2] >= 0).all()
    assert (outward[:, 2:] <= 0).all()
    assert boxes[:, :2].min() >= 0
    assert (abs(outward) <= np.rint(0.05 * np.array([[40, 20, 40, 20], [200, 50, 200, 50]]))).all()

    flat = LabelledCase(gts[4], gts[4])
    drawn = np.array([prompted(flat, f"2DBox_MR_{number}").boxes[1] for number in range(200)])
    low, high = [100, 50] - drawn[:, :2], drawn[:, 2:] - [299, 99]
    for outward in (low, high):
        assert outward.min(axis=0).tolist() == [0, 0]
        assert (outward.max(axis=0) >= [18, 4]).all()
        assert (outward.max(axis=0) <= [20, 5]).all()
    np.testing.assert_array_equal(drawn[3], prompted(flat, "2DBox_MR_3").boxes[1])


@pytest.mark.parametrize(
    ("files", "suffixes", "expected"),
    [
        (["CT/x/a.jpg", "CT/x/a.png", "CT/x/b.jpg"], (), [("CT/x/a.jpg", "CT/x/a.png", ("CT", "x"), "a")]),
        (["images/a.png", "labels/a.png"], (), [("images/a.png", "labels/a.png", (), "a")]),
        (
            ["MR/x/imagesTr/a_0000.nii.gz", "MR/x/labelsTr/a.nii.gz"],
            ("_0000",),
            [("MR/x/imagesTr/a_0000.nii.gz", "MR/x/labelsTr/a.nii.gz", ("MR", "x"), "a")],
        ),
        (["images/p/1.dcm", "images/p/2", "labels/p.npz"], (), [("images/p", "labels/p.npz", (), "p")]),
        (["a.nrrd", "a_seg.nrrd"], ("", "_seg"), [("a.nrrd", "a_seg.nrrd", (), "a")]),
        (["a_img.png", "a_mask.png"], ("_img", "_mask"), [("a_img.png", "a_mask.png", (), "a")]),
        (["CT/x/v.npz", "CT/.x/v.npz", "notes.txt"], (), [("CT/x/v.npz", None, ("CT", "x"), "v")]),
        (["US/x/a.png"], (), [(None, "US/x/a.png", ("US", "x"), "a")]),
    ],
)
def test_files_that_belong_together(tmp_path, files, suffixes, expected):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_labelled(tmp_path, *suffixes)
    names = [
        tuple(path and path.relative_to(tmp_path).as_posix() for path in (file.image, file.label)) for file in found
    ]
    assert [(*pair, file.folders, file.id) for pair, file in zip(names, found, strict=True)] == expected


@pytest.mark.parametrize(
    ("files", "reason"),
    [([], "no label maps found"), (["a.jpg"], "no label maps found"), (["a.jpg", "a.tif", "a.png"], "two of one name")],
)
def test_folders_that_are_refused(tmp_path, files, reason):
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(SetupError, match=reason):
        find_labelled(tmp_path)


def test_ct_is_windowed_and_other_volumes_are_rescaled(tmp_path, in_this_process):
    values = np.linspace(-500, 500, 8 * 40 * 50).reshape(8, 40, 50).astype(np.int16)
    labels = np.zeros_like(values, np.uint8)
    labels[2:6, 10:30, 10:30] = 1
    write_nifti(tmp_path / "in/images/a.nii", values)
    write_nifti(tmp_path / "in/labels/a.nii", labels)
    levels = ("--window-level", 0, "--window-width", 200)
    for modality, expected in (("CT", window_level(values, 0, 200)), ("MR", rescale_percentiles(values))):
        assert run(tmp_path / "in", "--out", tmp_path / "val", "--modality", modality, *levels) == EXIT_OK
        np.testing.assert_array_equal(load(tmp_path / "val", "imgs", f"3DBox_{modality}_a")["imgs"], expected)


def test_bad_files_are_one_line_each_and_what_is_there_stays(tmp_path, in_this_process, capsys):
    root, out = tmp_path / "in", tmp_path / "val"
    disc = cv2.circle(np.zeros((60, 80), np.uint8), (40, 30), 15, 4, -1)
    reasons = {
        "size": "do not belong together",
        "empty": "its labels are all 0",
        "dust": "no object to draw a box around",
    }
    labels = {"good": disc, "old": disc, "size": disc[:-1], "empty": 0 * disc, "dust": (0 * disc), "alone": disc}
    labels["dust"][5, 5] = 1
    for name, label in labels.items():
        write_picture(root / f"{name}.png", label)
        if name != "alone":
            write_picture(root / f"{name}.jpg", disc)
    (root / "broken.png").write_text("none")
    write_picture(root / "broken.jpg", disc)
    reasons |= {"alone": "a label map without an image", "broken": "broken.png: not a readable image"}
    (out / "imgs").mkdir(parents=True)
    mine = out / "imgs/2DBox_X-Ray_old.npz"
    mine.write_text("of the user")

    command = (root, "--out", out, "--modality", "X_Ray")
    assert run(*command) == EXIT_CASE_FAILED
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    for name, reason in {**reasons, "old": f"{mine} is there without its other half"}.items():
        assert sum(line.startswith(f"{root / name}.") and reason in line for line in lines) == 1, (name, lines)
    assert len(lines) == len(reasons) + 1
    assert captured.out == f"{out}: 1 cases made, 0 were there before, 6 failed\n"
    assert mine.read_text() == "of the user"
    assert [path.name for path in (out / "gts").iterdir()] == ["2DBox_X-Ray_good.npz"]
    assert np.unique(load(out, "gts", "2DBox_X-Ray_good")["gts"]).tolist() == [0, 1]

    before = (out / "imgs/2DBox_X-Ray_good.npz").stat().st_mtime_ns
    write_picture(root / "good.png", disc // 2)
    assert run(*command) == EXIT_CASE_FAILED
    assert f"{root / 'good.jpg'}: newer than {out}/imgs/2DBox_X-Ray_good.npz, which is kept" in capsys.readouterr().err
    assert (out / "imgs/2DBox_X-Ray_good.npz").stat().st_mtime_ns == before


def test_what_cannot_begin_is_one_line(tmp_path, capsys):
    write_picture(tmp_path / "in/a.jpg", np.zeros((9, 9), np.uint8))
    write_picture(tmp_path / "in/a.png", np.zeros((9, 9), np.uint8))
    (tmp_path / "file").touch()
    for arguments, reason in (
        ((tmp_path / "none", "--out", tmp_path / "val"), "none: no such folder"),
        ((tmp_path / "in", "--out", tmp_path / "val"), "a.jpg: is in no folder <Modality>/<dataset>/; give --modality"),
        ((tmp_path / "in", "--out", tmp_path / "in/val", "--modality", "US"), "which is searched"),
        ((tmp_path / "in", "--out", tmp_path / "file/val", "--modality", "US"), "cannot be written"),
    ):
        assert run(*arguments) == EXIT_SETUP
        message = capsys.readouterr().err
        assert reason in message
        assert message.count("\n") == 1
    assert not (tmp_path / "val").exists()
