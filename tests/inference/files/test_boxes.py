"""Boxes from wherever people have them: all of these mean the same voxels."""

import json

import numpy as np
import pytest
import SimpleITK

from inference.errors import CaseError
from inference.files.boxes import read_boxes
from inference.files.grid import Grid
from inference.files.image import Choice
from inference.files.itk import read_itk
from inference.files.label_map import label_map_prompts
from inference.files.prompts import objects_of
from tests.support.phantom_files import ORIENTATIONS, affine, oblique, stored, write_image

BOX = [6, 5, 2, 13, 25, 6]
STRAIGHT = ((0, 1, 2), (1, 1, 1))


def grid_of(lps: np.ndarray, size=(40, 32, 9)) -> Grid:
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return Grid(size, tuple(spacing.tolist()), tuple(lps[:3, 3].tolist()), lps[:3, :3] / spacing)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_ours(tmp_path):
    path = write(tmp_path / "a.json", [{"label": 3, "name": "liver", "box": BOX}, {"box": BOX, "file": "b.nii"}])
    first, second = read_boxes(path)
    assert (first.label, first.name, first.numbers) == (3, "liver", tuple(BOX))
    assert (second.label, second.name, second.file) == (None, "", "b.nii")
    objects = objects_of([first, second], grid_of(affine(*STRAIGHT)))
    assert [(item.label, item.title) for item in objects] == [(3, "liver"), (1, "object 1")]
    assert objects[0].box.tolist() == BOX


def test_csv(tmp_path):
    path = write(
        tmp_path / "a.csv",
        "\ufefffile, label,name,x_min,y_min,z_min,x_max,y_max,z_max\n"
        'a.nii.gz,4,"liver, left",6,5,2,13,25,6\n,,,1,2,3,4,5,6\n',
    )
    first, second = read_boxes(path)
    assert (first.file, first.label, first.name, first.numbers) == ("a.nii.gz", 4, "liver, left", tuple(BOX))
    assert (second.file, second.label, second.numbers) == ("", None, (1, 2, 3, 4, 5, 6))
    flat = write(tmp_path / "b.csv", "x_min,y_min,x_max,y_max\n1,2,3,4\n")
    assert read_boxes(flat)[0].numbers == (1, 2, 3, 4)


def test_coco_boxes_end_with_their_last_pixel(tmp_path):
    content = {
        "images": [{"id": 5, "file_name": "sub/a.png"}],
        "categories": [{"id": 9, "name": "cell"}],
        "annotations": [{"id": 1, "image_id": 5, "category_id": 9, "bbox": [10, 20, 5, 4]}],
    }
    (box,) = read_boxes(write(tmp_path / "coco.json", content))
    assert (box.file, box.name, box.category, box.numbers) == ("a.png", "cell", 9, (10, 20, 14, 23))


@pytest.mark.parametrize("system", ["LPS", "RAS", 0, 1])
def test_a_slicer_roi_means_the_voxels_whose_centres_it_holds(tmp_path, system):
    lps = affine(*STRAIGHT, oblique())
    ends = np.array(BOX, float).reshape(2, 3) + np.array([[-0.5], [0.5]])  # the edges of voxels
    centre = lps[:3, :3] @ ends.mean(axis=0) + lps[:3, 3]
    size = (ends[1] - ends[0]) * [0.7, 0.9, 4.0]
    flip = np.diag([-1, -1, 1]) if system in ("RAS", 0) else np.eye(3)
    roi = {"type": "ROI", "coordinateSystem": system, "roiType": "Box", "center": (flip @ centre).tolist(),
           "orientation": (flip @ oblique()).ravel().tolist(), "size": size.tolist()}  # fmt: skip
    path = write(tmp_path / "liver.mrk.json", {"markups": [roi]})
    (item,) = objects_of(read_boxes(path), grid_of(lps))
    assert item.name == "liver"
    assert item.box.tolist() == BOX


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[::7])
def test_patient_coordinates_in_any_orientation(tmp_path, order, signs):
    lps = affine(order, signs)
    size = tuple((40, 32, 9)[axis] for axis in order)
    ends = affine(*STRAIGHT)[:3, :3] @ np.array(BOX, float).reshape(2, 3).T + affine(*STRAIGHT)[:3, 3:]
    path = write(tmp_path / "a.json", [{"box": ends.T.ravel().tolist()}])
    (item,) = objects_of(read_boxes(path, in_patient=True), grid_of(lps, size))
    inside = np.zeros((40, 32, 9), np.uint8)
    inside[6:14, 5:26, 2:7] = 1
    places = np.argwhere(stored(inside, order, signs))
    assert item.box.tolist() == [*places.min(axis=0), *places.max(axis=0)]


@pytest.mark.parametrize("mask_order", ORIENTATIONS[::5])
def test_a_rough_mask_in_another_order(tmp_path, mask_order):
    inside = np.zeros((40, 32, 9), np.uint8)
    inside[6:14, 5:26, 2:7] = 3
    inside[20:22, 8, 4] = 9
    mask = write_image(tmp_path / "m.nii.gz", stored(inside, *mask_order), affine(*mask_order))
    image = read_itk(write_image(tmp_path / "i.nrrd", inside.astype(np.int16), affine(*STRAIGHT)), Choice(), 2**30)
    prompts = label_map_prompts(mask, image, 2**30)
    assert [(prompt.label, list(prompt.numbers)) for prompt in prompts] == [(3, BOX), (9, [20, 8, 4, 21, 8, 4])]


def test_masks_that_do_not_belong_to_the_image(tmp_path):
    values = np.ones((40, 32, 9), np.int16)
    lps = affine(*STRAIGHT)
    image = read_itk(write_image(tmp_path / "i.nrrd", values, lps), Choice(), 2**30)
    moved = lps.copy()
    moved[0, 3] += 5
    for mask, matrix, reason in (
        (values[:, :30], lps, "has 40 x 30 x 9 voxels, the image 40 x 32 x 9"),
        (values, moved, "lies up to 5 mm beside the image"),
        (values * 0, lps, "is empty"),
        (values - 2, lps, "holds values -1..-1"),
        (values * np.float32(0.5), lps, "holds fractions"),
    ):
        path = write_image(tmp_path / "m.nii.gz", mask, matrix)
        with pytest.raises(CaseError, match=reason):
            label_map_prompts(path, image, 2**30)


def test_masks_that_are_no_label_map(tmp_path):
    image = read_itk(write_image(tmp_path / "i.nrrd", np.ones((40, 32, 9)), affine(*STRAIGHT)), Choice(), 2**30)
    layers = SimpleITK.GetImageFromArray(np.ones((9, 32, 40, 2), np.uint8), isVector=True)
    SimpleITK.WriteImage(layers, str(tmp_path / "layers.seg.nrrd"))
    (tmp_path / "m.seg.dcm").touch()
    for name, reason in (("layers.seg.nrrd", "save it as one label map"), ("m.seg.dcm", "rough masks come as .nii")):
        with pytest.raises(CaseError, match=reason):
            label_map_prompts(tmp_path / name, image, 2**30)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[" * 100_000, "not JSON"),
        ("a.json", '{"box": [1, 2, 3, 4]}', "not boxes in a form that is known"),
        ("a.json", '[{"label": 1}]', "not boxes in a form that is known"),
        ("a.json", '[{"box": [1, 2, 3]}]', "a box has 3 numbers"),
        ("a.json", '[{"box": [1, 2, 3, 4], "label": 1.5}]', "label 1.5 is not a whole number"),
        ("a.json", "[]", "holds no boxes"),
        ("a.json", '{"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}', "not boxes in a form"),
        ("a.csv", "a,b\n1,2\n", "lacks columns of a box"),
        ("a.csv", "x_min,y_min,x_max,y_max\n1,2,3,four\n", "line 2 is no box"),
        ("a.csv", "x_min,y_min,x_max,y_max\n", "holds no boxes"),
        ("a.mrk.json", '{"markups": [{"type": "Fiducial"}]}', "no markup of type ROI, but Fiducial"),
        ("a.txt", "1,2,3,4", "boxes come as"),
    ],
)
def test_files_that_hold_no_boxes(tmp_path, name, content, reason):
    with pytest.raises(CaseError, match=reason):
        read_boxes(write(tmp_path / name, content))


def test_labels_out_of_range_and_boxes_of_the_wrong_kind():
    from inference.files.prompts import PATIENT, Prompt

    grid = grid_of(affine(*STRAIGHT))
    for prompt, where, reason in (
        (Prompt(tuple(BOX), label=0), grid, "labels must be"),
        (Prompt(tuple(BOX), label=70000), grid, "labels must be"),
        (Prompt((1, 2, 3, 4)), grid, "has 4 numbers, expected 6"),
        (Prompt(tuple(BOX)), None, "has 6 numbers, expected 4"),
        (Prompt(tuple(BOX), PATIENT), None, "no patient coordinates"),
    ):
        with pytest.raises(CaseError, match=reason):
            objects_of([prompt], where)
