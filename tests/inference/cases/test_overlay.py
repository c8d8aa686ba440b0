"""Overlays: what is drawn, where, and in which colours."""

import cv2
import numpy as np

from inference.cases.case import make_case
from inference.cases.overlay import write_overlay


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
