"""Ordinary picture files as input, overlays as output."""

import cv2
import numpy as np
import pytest

from inference.cases.case import make_case
from inference.cases.overlay import write_overlay
from inference.cases.picture import read_picture, write_mask
from inference.errors import CaseError

BOX = [2.0, 2.0, 20.0, 20.0]
RAMP = np.tile(np.arange(32, dtype=np.uint8) * 8, (24, 1))


def test_gray_8_bit(tmp_path):
    cv2.imwrite(str(tmp_path / "scan.png"), RAMP)
    case = read_picture(tmp_path / "scan.png", [BOX])
    np.testing.assert_array_equal(case.volume[0], RAMP)
    assert not case.is_volume


@pytest.mark.parametrize("alpha", [False, True])
def test_colour_is_red_first_and_alpha_is_dropped(tmp_path, alpha):
    blue_green_red = np.stack([RAMP, RAMP // 2, RAMP // 4] + [np.full_like(RAMP, 9)] * alpha, axis=-1)
    cv2.imwrite(str(tmp_path / "scan.png"), blue_green_red)
    volume = read_picture(tmp_path / "scan.png", [BOX]).volume
    np.testing.assert_array_equal(volume[0], np.stack([RAMP // 4, RAMP // 2, RAMP], axis=-1))


def test_16_bit_is_scaled_by_its_content(tmp_path):
    deep = np.zeros((100, 100), np.uint16)
    deep[10:] = np.linspace(1000, 3000, 9000).reshape(90, 100).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "scan.tif"), deep)
    image = read_picture(tmp_path / "scan.tif", [BOX]).volume[0]
    assert image.dtype == np.uint8
    assert (image.min(), image.max()) == (0, 255)
    assert abs(int(image[54, 50]) - 127) <= 3


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_no_picture(tmp_path, content):
    (tmp_path / "scan.png").write_bytes(content)
    with pytest.raises(CaseError, match="not a picture"):
        read_picture(tmp_path / "scan.png", [BOX])


def test_missing_file(tmp_path):
    with pytest.raises(CaseError, match="No such file"):
        read_picture(tmp_path / "absent.png", [BOX])


def test_mask_is_lossless_or_refused(tmp_path):
    segs = np.array([[0, 1], [256, 300]], np.uint16)
    write_mask(tmp_path / "mask.png", segs)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED), segs)
    with pytest.raises(CaseError, match=r"not '\.jpg'"):
        write_mask(tmp_path / "mask.jpg", segs)
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]


def test_overlay_of_an_image_shows_mask_and_box(tmp_path):
    case = make_case(np.zeros((100, 100), np.uint8), np.array([[10, 10, 60, 60]]))
    segs = np.zeros((100, 100), np.uint8)
    segs[30:50, 30:50] = 1
    write_overlay(tmp_path / "a.png", case, segs)
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture.shape == (400, 400, 3)
    assert picture[160, 160].any()  # inside the mask
    assert picture[40, 100].any()  # on the box
    assert not picture[300, 300].any()  # elsewhere


def test_overlay_of_a_volume_is_a_montage_of_slices_with_boxes(tmp_path):
    case = make_case(np.full((40, 20, 400), 50, np.uint8), np.array([[5, 5, 10, 300, 15, 29]]))
    write_overlay(tmp_path / "a.png", case, np.zeros((40, 20, 400), np.uint8))
    assert cv2.imread(str(tmp_path / "a.png")).shape == (3 * 20, 4 * 400, 3)


def test_overlay_without_boxes(tmp_path):
    case = make_case(np.zeros((30, 30, 3), np.uint8), np.empty((0, 4)))
    write_overlay(tmp_path / "a.png", case, np.zeros((30, 30), np.uint8))
    assert (tmp_path / "a.png").stat().st_size > 0
