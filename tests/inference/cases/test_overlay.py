"""Overlays: what is drawn, where and how large, and what can still be seen of the image."""

import cv2
import numpy as np
import pytest

from inference.cases.case import make_case
from inference.cases.colours import PALETTE
from inference.cases.overlay import GAP, write_overlay

CYAN = PALETTE[0]  # of the first object
WHITE = [255, 255, 255]


def overlay(folder, imgs, boxes, segs=None, windows=()):
    case = make_case(imgs, np.array(boxes, float).reshape(-1, 6 if imgs.ndim == 3 and imgs.shape[-1] != 3 else 4))
    segs = np.zeros(case.shape if case.is_volume else case.shape[1:], case.segs_dtype) if segs is None else segs
    write_overlay(folder / "a.png", case, segs, windows)
    return cv2.imread(str(folder / "a.png"))


def square(label: int = 1, dtype: type = np.uint8) -> np.ndarray:
    """A label map of 100 x 100 with an object in rows and columns 30..49."""
    segs = np.zeros((100, 100), dtype)
    segs[30:50, 30:50] = label
    return segs


def test_an_object_is_lined_and_lightly_filled(tmp_path):
    picture = overlay(tmp_path, np.full((100, 100), 100, np.uint8), [[10, 10, 60, 60]], square())
    assert picture.shape == (800, 800, 3)  # eight times as large
    for edge in (picture[240, 320], picture[399, 320], picture[320, 240], picture[320, 399]):
        np.testing.assert_array_equal(edge, CYAN)
    assert (np.abs(picture[320, 320] - (0.8 * 100 + 0.2 * CYAN)) <= 1).all()
    np.testing.assert_array_equal(picture[600, 600], [100] * 3)  # elsewhere


def test_the_texture_of_an_object_stays_visible(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (100, 100), np.uint8)
    plain = overlay(tmp_path, image, [])
    painted = overlay(tmp_path, image, [[0, 0, 99, 99]], square())
    inside = np.s_[260:380, 260:380]
    assert painted[inside].std(axis=(0, 1)).min() > 0.75 * plain[inside].std(axis=(0, 1)).min()


@pytest.mark.parametrize("box", [[5, 5, 60, 70], [7, 7, 7, 7], [0, 0, 99, 99], [99, 99, 99, 99], [20, 30, 100, 100]])
def test_the_last_pixel_belongs_to_the_box(tmp_path, box):
    picture = overlay(tmp_path, np.zeros((100, 100), np.uint8), [box])
    left, top, right, bottom = (8 * side for side in (box[0], box[1], min(box[2] + 1, 100), min(box[3] + 1, 100)))
    frame = np.zeros(picture.shape[:2], bool)
    frame[top, left:right] = frame[bottom - 1, left:right] = True
    frame[top:bottom, left] = frame[top:bottom, right - 1] = True
    drawn = (picture == CYAN).all(axis=-1)
    assert drawn[frame].mean() > 0.75  # a number may lie over a part of it
    assert not drawn[top:bottom, left:right][24:, 24:][:-1, :-1].any()


@pytest.mark.parametrize("box", [[40, 40, 60, 60], [0, 0, 9, 9], [90, 90, 99, 99], [0, 0, 99, 99], [0, 50, 99, 99]])
def test_a_box_has_its_number_inside_of_the_picture(tmp_path, box):
    image = np.full((100, 100), 200, np.uint8)
    black = [(overlay(tmp_path, image, [where]) == 0).all(axis=-1).sum() for where in ([30, 30, 35, 35], box)]
    assert black[0] > 60  # letters are edged in black
    assert black[1] > 0.9 * black[0]  # and nothing of them is cut off


def test_numbers_do_not_lie_over_each_other(tmp_path):
    image = np.full((100, 100), 200, np.uint8)
    box = [40, 40, 60, 60]
    black = [(overlay(tmp_path, image, [box] * count) == 0).all(axis=-1).sum() for count in (1, 2, 3)]
    assert black[1] > 1.7 * black[0]
    assert black[2] > 2.5 * black[0]


def test_windows_are_drawn_where_they_are_given(tmp_path):
    image, window = np.zeros((100, 100), np.uint8), (20, 30, 70, 90)
    assert not (overlay(tmp_path, image, []) == WHITE).all(axis=-1).any()
    framed = (overlay(tmp_path, image, [], windows=[window]) == WHITE).all(axis=-1)
    rows, columns = np.flatnonzero(framed.any(axis=1)), np.flatnonzero(framed.any(axis=0))
    assert (columns[0], rows[0], columns[-1], rows[-1]) == (160, 240, 559, 719)  # its right and bottom are exclusive
    assert framed.sum() == 2 * (400 + 480) - 4


@pytest.mark.parametrize("imgs", [np.zeros((60, 60), np.uint8), np.zeros((4, 60, 60), np.uint8)])
def test_unusable_boxes_are_left_out(tmp_path, imgs):
    outside, unknown, good = [90] * 2 * imgs.ndim, [np.nan] * 2 * imgs.ndim, [0, 0, 2, 20, 20, 2]
    good = good if imgs.ndim == 3 else [0, 0, 20, 20]
    with_them = overlay(tmp_path, imgs, [good, outside, unknown])
    np.testing.assert_array_equal(with_them, overlay(tmp_path, imgs, [good]))
    nothing = overlay(tmp_path, imgs, [outside, unknown])
    np.testing.assert_array_equal(nothing, overlay(tmp_path, imgs, []))


def test_a_volume_is_a_montage_of_slices_with_boxes_with_gaps_between(tmp_path):
    picture = overlay(tmp_path, np.full((40, 20, 400), 50, np.uint8), [[5, 5, 10, 300, 15, 29]])
    assert picture.shape == (3 * 20 + 2 * GAP, 4 * 400 + 3 * GAP, 3)
    assert (picture[20 : 20 + GAP] == 255).all()
    assert (picture[:, 400 : 400 + GAP] == 255).all()


@pytest.mark.parametrize(
    ("slices", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (5, 2, 3), (8, 2, 4), (12, 3, 4), (30, 3, 4)]
)
def test_rows_of_a_montage(tmp_path, slices, rows, columns):
    picture = overlay(tmp_path, np.zeros((30, 384, 384), np.uint8), [[5, 5, 0, 300, 15, slices - 1]])
    assert picture.shape[:2] == (rows * (384 + GAP) - GAP, columns * (384 + GAP) - GAP)


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((10, 10), (770, 770)),
        ((400, 500), (800, 1000)),
        ((800, 600), (800, 600)),
        ((3024, 4032), (1200, 1600)),
        ((3, 100, 50), (400, 200)),
        ((3, 1280, 640), (640, 320)),
        ((1, 4000), (1, 1600)),
    ],
)
def test_small_images_are_enlarged_and_large_ones_shrunk(tmp_path, shape, shown):
    assert overlay(tmp_path, np.zeros(shape, np.uint8), []).shape[:2] == shown


def test_an_image_is_enlarged_smoothly_and_its_masks_are_crisp(tmp_path):
    ramp = np.tile(np.arange(0, 250, 25, dtype=np.uint8), (10, 1))
    assert len(np.unique(overlay(tmp_path, ramp, []))) > 100
    segs = np.zeros((10, 10), np.uint8)
    segs[4, 6] = 1
    plain, painted = (overlay(tmp_path, ramp, [[0, 0, 9, 9]], labels) for labels in (segs * 0, segs))
    changed = np.flatnonzero((plain != painted).any(axis=(1, 2)))
    assert (changed[0], changed[-1]) == (4 * 77 - 1, 5 * 77)  # its pixel, and one around it that is shaded


@pytest.mark.parametrize("brightest", [1, 0.2])
def test_an_image_in_0_to_1_is_shown_over_the_full_range(tmp_path, brightest):
    image = np.random.default_rng(0).integers(0, 256, (768, 768)).astype(np.uint8)
    image[0, 0] = 255
    shown = overlay(tmp_path, (image / np.float32(255) * np.float32(brightest)), [])
    assert np.abs(shown.astype(int) - image[:, :, np.newaxis]).max() <= 1


def test_other_images_are_shown_as_they_are(tmp_path):
    image = np.linspace(3, 90, 768 * 768, dtype=np.float32).reshape(768, 768)
    assert np.abs(overlay(tmp_path, image, []) - image[:, :, np.newaxis]).max() <= 0.5
    colour = np.random.default_rng(0).integers(0, 256, (768, 768, 3), np.uint8)
    np.testing.assert_array_equal(overlay(tmp_path, colour, []), colour[:, :, ::-1])


def test_more_than_255_objects(tmp_path):
    boxes = [[x, y, x + 3, y + 3] for x in range(0, 100, 5) for y in range(0, 100, 5)]
    picture = overlay(tmp_path, np.zeros((100, 100), np.uint8), boxes, square(label=300, dtype=np.uint16))
    assert (picture[250, 250] > 0).any()
