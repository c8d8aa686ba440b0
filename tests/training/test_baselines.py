"""Filled box, Otsu and GrabCut on images where the right answer is plain."""

from pathlib import Path

import numpy as np
import pytest

from inference.cases.case import make_case
from inference.errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_SETUP
from training.baselines import METHODS, filled_box, grabcut, main, otsu, segment
from training.data.phantoms import phantom_case_2d, phantom_volume
from training.scoring.folder import evaluate_folder
from training.scoring.metrics import dice


def disc(inside: int, outside: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """RGB image of a disc of radius 16, with a little noise, and its mask."""
    y, x = np.mgrid[:size, :size]
    mask = np.hypot(y - size // 2, x - size // 2) < 16
    gray = np.where(mask, inside, outside) + np.random.default_rng(0).integers(-5, 6, mask.shape)
    return np.repeat(gray[..., None], 3, axis=2).astype(np.uint8), mask


BOX = np.s_[14:51, 14:51]  # the disc with two pixels around it


def test_filled_box_has_inclusive_corners():
    segs = segment(make_case(np.zeros((10, 12), np.uint8), np.array([[2, 3, 5, 7]])), filled_box)
    assert segs.shape == (10, 12)
    assert segs[3:8, 2:6].all()
    assert np.count_nonzero(segs) == 5 * 4


def test_box_at_the_image_border_is_clipped():
    segs = segment(make_case(np.zeros((10, 12), np.uint8), np.array([[8, -3, 12, 3]])), filled_box)
    assert np.argwhere(segs).min(axis=0).tolist() == [0, 8]
    assert np.argwhere(segs).max(axis=0).tolist() == [3, 11]


def test_later_box_wins():
    segs = segment(make_case(np.zeros((10, 10), np.uint8), np.array([[0, 0, 5, 5], [4, 4, 8, 8]])), filled_box)
    assert segs[3, 3] == 1
    assert segs[4, 4] == segs[5, 5] == segs[8, 8] == 2


@pytest.mark.parametrize(("inside", "outside"), [(180, 60), (60, 180)])
@pytest.mark.parametrize("method", [otsu, grabcut])
def test_bright_and_dark_discs_are_found(method, inside, outside):
    image, mask = disc(inside, outside)
    assert dice(mask[BOX], method(image, BOX)) > 0.99


@pytest.mark.parametrize("method", METHODS.values())
def test_flat_image_gives_the_whole_box(method):
    assert method(np.full((40, 40, 3), 90, np.uint8), np.s_[10:20, 5:30]).all()


def test_grabcut_without_background_gives_the_whole_box():
    image, _ = disc(180, 60)
    assert grabcut(image, np.s_[0:64, 0:64]).all()


def test_grabcut_is_repeatable():
    image = phantom_case_2d((96, 96), 1, seed=2, colour=True).imgs
    np.testing.assert_array_equal(grabcut(image, np.s_[20:70, 20:70]), grabcut(image, np.s_[20:70, 20:70]))


def test_grabcut_looks_no_further_than_a_margin_around_the_box():
    image, _ = disc(180, 60, size=128)
    box = np.s_[46:83, 46:83]
    far = image.copy()
    far[:10] = 180
    np.testing.assert_array_equal(grabcut(image, box), grabcut(far, box))


def test_volume_is_done_on_the_slices_of_each_box():
    volume = np.zeros((6, 10, 10), np.uint8)
    segs = segment(make_case(volume, np.array([[1, 1, 1, 4, 4, 3], [6, 6, 3, 8, 8, 5]])), filled_box)
    assert segs.shape == volume.shape
    assert [np.unique(layer[layer > 0]).tolist() for layer in segs] == [[], [1], [1], [1, 2], [2], [2]]


@pytest.mark.parametrize("method", METHODS)
def test_phantoms_are_segmented(method):
    for phantom in (phantom_case_2d((96, 96), 3, seed=0), phantom_volume((6, 48, 48), 2, seed=0)):
        segs = segment(make_case(phantom.imgs, phantom.boxes), METHODS[method])
        least = {"box": 0.5, "otsu": 0.85, "grabcut": 0.85}[method]
        for label in range(1, len(phantom.boxes) + 1):
            shown = (phantom.gts == label).any(axis=(-1, -2))  # a filled 3D box also covers slices' empty corners
            assert dice((phantom.gts == label)[shown], (segs == label)[shown]) > least


def test_many_boxes_need_sixteen_bit_labels():
    phantom = phantom_case_2d((256, 256), 300, seed=0)
    segs = segment(make_case(phantom.imgs, phantom.boxes), otsu)
    assert segs.dtype == np.uint16
    assert set(np.unique(segs)) == set(range(301))


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / name for name in ("imgs", "gts", "segs")}
    for name in ("imgs", "gts"):
        paths[name].mkdir()
    for name, phantom in (
        ("2DBox_CT_a.npz", phantom_case_2d((64, 64), 2, seed=0)),
        ("3DBox_MR_a.npz", phantom_volume((4, 32, 32), 1, seed=0)),
    ):
        np.savez(paths["imgs"] / name, imgs=phantom.imgs, boxes=phantom.boxes)
        np.savez(paths["gts"] / name, gts=phantom.gts)
    return paths


def run(folders: dict[str, Path], *more: str) -> int:
    return main(["-i", str(folders["imgs"]), "-o", str(folders["segs"]), *more])


def test_command_writes_what_evaluation_reads(folders):
    assert run(folders, "--method", "otsu") == EXIT_OK
    scores = evaluate_folder(folders["segs"], folders["gts"], workers=1)
    assert (scores["dsc"] > 0.6).all()
    assert not scores["problem"].any()


def test_bad_case_does_not_stop_the_others(folders, capsys):
    (folders["imgs"] / "2DBox_CT_0.npz").write_text("no case")
    assert run(folders) == EXIT_CASE_FAILED
    assert capsys.readouterr().err.startswith(f"{folders['imgs'] / '2DBox_CT_0.npz'}: not a whole npz file")
    assert len(list(folders["segs"].iterdir())) == 2


def test_folders_that_cannot_be_used(folders, tmp_path, capsys):
    assert main(["-i", str(tmp_path / "nowhere"), "-o", str(tmp_path)]) == EXIT_SETUP
    assert "no cases" in capsys.readouterr().err
    folders["segs"].write_text("a file where a folder should be")
    assert run(folders) == EXIT_SETUP
    assert "cannot be written" in capsys.readouterr().err


def test_scores_on_a_real_case(shared_data, tmp_path):
    """A dermoscopy lesion: better than the box, and the box is not nothing."""
    name = "2DBox_Dermoscopy_0005.npz"
    for folder in ("imgs", "gts"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).symlink_to(shared_data / "val" / folder / name)
    dsc = {}
    for method in METHODS:
        assert run({"imgs": tmp_path / "imgs", "segs": tmp_path / method}, "--method", method) == EXIT_OK
        dsc[method] = evaluate_folder(tmp_path / method, tmp_path / "gts", workers=1)["dsc"].item()
    assert 0.5 < dsc["box"] < dsc["grabcut"]
    assert dsc["grabcut"] > 0.8
