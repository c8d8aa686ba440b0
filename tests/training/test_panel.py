"""The qualitative panel: a row per case, image, truth and every folder of segmentations beside each other."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.cases.colours import PALETTE
from tests.support.data_root import write_validation_case
from training import panel
from training.data.tiles import TITLE
from training.scoring.case_tiles import SIDE, shown_slice

CYAN = PALETTE[0]


def write_segs(folder: Path, name: str, segs: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / name, segs=segs)
    return folder


def tiles_of(path: Path, rows: int, columns: int) -> np.ndarray:
    """(rows, columns, SIDE, SIDE, 3): the pictures without their titles."""
    picture = cv2.imread(str(path))
    assert picture.shape == (rows * (TITLE + SIDE), columns * SIDE, 3)
    return picture.reshape(rows, TITLE + SIDE, columns, SIDE, 3).transpose(0, 2, 1, 3, 4)[:, :, TITLE:]


def test_cases_are_rows_of_image_truth_and_segmentations(tmp_path):
    truth = write_validation_case(tmp_path, "2DBox_US_0001.npz", seed=1)
    volume = np.zeros((6, 40, 40), np.uint8)
    volume[2:5, 10:30, 10:30], volume[5, :5, :5] = 2, 1
    boxes = np.array([[0, 0, 5, 4, 4, 5], [10, 10, 2, 29, 29, 4]])
    np.savez(tmp_path / "imgs/3DBox_MR_0001.npz", imgs=100 * (volume > 0).astype(np.uint8) + 50, boxes=boxes)
    np.savez(tmp_path / "gts/3DBox_MR_0001.npz", gts=volume, spacing=np.float32([1, 1, 1]))
    right, empty = tmp_path / "right", tmp_path / "empty"
    for name, segs in (("2DBox_US_0001.npz", truth), ("3DBox_MR_0001.npz", volume)):
        write_segs(right, name, segs)
        write_segs(empty, name, np.zeros_like(segs))
    columns = ["--segs", f"int8={right}", f"none={empty}"]
    cases = ["--cases", "2DBox_US_0001", "3DBox_MR_0001"]
    assert panel.main(["--val", str(tmp_path), *columns, *cases, "--out", str(tmp_path / "panel.png")]) == 0

    tiles = tiles_of(tmp_path / "panel.png", rows=2, columns=4)
    for image, expected, same, none in tiles:
        np.testing.assert_array_equal(same, expected)
        assert (none != expected).any()
        assert (none != image).any()  # boxes are drawn where nothing was found
    image, expected, _, _ = tiles[1].astype(int)
    assert (np.ptp(image, axis=2) == 0).all()  # grey: no box, no mask
    centre = SIDE // 2
    np.testing.assert_allclose(expected[centre, centre], 0.8 * 150 + 0.2 * CYAN, atol=2)  # slice 3, the larger object


def test_the_middle_of_the_largest_object_is_shown():
    truth = np.zeros((9, 4, 4), np.uint8)
    truth[0, 0, 0], truth[4:7] = 1, 2
    assert shown_slice(truth) == 5
    assert shown_slice(np.zeros((3, 4, 4), np.uint8)) == 0


def test_what_cannot_be_shown_is_named_and_the_rest_is_drawn(tmp_path, capsys):
    truth = write_validation_case(tmp_path, "2DBox_US_0001.npz", seed=1)
    write_validation_case(tmp_path, "2DBox_US_0002.npz", seed=2)
    segs = write_segs(tmp_path / "segs", "2DBox_US_0001.npz", truth)
    write_segs(segs, "2DBox_US_0002.npz", truth[:-1])
    arguments = ["--val", str(tmp_path), "--segs", f"a={segs}", "--out", str(tmp_path / "panel.png"), "--cases"]
    assert panel.main([*arguments, "2DBox_US_0003", "2DBox_US_0002", "2DBox_US_0001"]) == 1
    messages = capsys.readouterr().err.splitlines()
    assert [message.partition(":")[0] for message in messages] == [
        str(tmp_path / "imgs/2DBox_US_0003.npz"),
        str(segs / "2DBox_US_0002.npz"),
    ]
    assert len(tiles_of(tmp_path / "panel.png", rows=1, columns=3)) == 1
    with pytest.raises(SystemExit):
        panel.main(["--val", str(tmp_path), "--segs", "a=none", "--cases", "x", "--out", "p.png"])
