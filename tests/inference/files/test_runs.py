"""`qmedsam segment` as people use it: one file, folders of many, and what may not happen to their files."""

import csv
import json
import logging
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import SimpleITK

from inference.errors import EXIT_USAGE, SetupError
from tests.support.dicom_files import PATIENT, write_series
from tests.support.phantom_files import affine, box_of, mask, scan, segment, stored, write_image
from tests.system.conftest import ROOT

LPS = affine((0, 1, 2), (1, 1, 1))
BOX = box_of(mask())
SHOWN = ("--window", "0,2000")


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, "qmedsam")
    return caplog


def picture(path, seed=0):
    """A dark picture with a bright disc of radius 12 about (40, 30); its mask."""
    rows, columns = np.ogrid[:64, :80]
    disc = (columns - 40) ** 2 + (rows - 30) ** 2 <= 144
    values = np.random.default_rng(seed).integers(0, 60, (64, 80), np.uint8)
    values[disc] = 230
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), values)
    return disc


def labels(path):
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).T


def test_labels_of_a_rough_mask_and_their_names_are_kept(tmp_path):
    image = write_image(tmp_path / "ct.nii.gz", scan(), LPS)
    rough = SimpleITK.GetImageFromArray(mask().T * np.uint16(300))
    rough.CopyInformation(SimpleITK.ReadImage(str(image)))
    rough.SetMetaData("Segment0_LabelValue", "300")
    rough.SetMetaData("Segment0_Name", "left kidney")
    SimpleITK.WriteImage(rough, str(tmp_path / "rough.nrrd"))
    assert segment(image, "--box-from", tmp_path / "rough.nrrd", *SHOWN, "-o", tmp_path / "out/m.nrrd") == 0
    np.testing.assert_array_equal(labels(tmp_path / "out/m.nrrd"), mask() * np.uint16(300))
    result = SimpleITK.ReadImage(str(tmp_path / "out/m.nrrd"))
    assert (result.GetMetaData("Segment0_Name"), result.GetMetaData("Segment0_LabelValue")) == ("left kidney", "300")
    assert result.GetMetaData("Segment0_Extent") == "6 29 5 25 2 6"


def test_patient_coordinates_on_the_command_line(tmp_path):
    order, signs = (2, 0, 1), (-1, 1, -1)
    lps = affine(order, signs)
    expected = stored(mask(), order, signs)
    image = write_image(tmp_path / "ct.nii.gz", stored(scan(), order, signs), lps)
    places = np.argwhere(expected)
    ends = [lps[:3, :3] @ end + lps[:3, 3] for end in (places.min(axis=0), places.max(axis=0))]
    box = ",".join(f"{number:.6f}" for end in ends for number in end)
    assert box.startswith("-")
    assert segment(image, "--box", box, "--world", *SHOWN, "-o", tmp_path / "m.mha") == 0
    np.testing.assert_array_equal(labels(tmp_path / "m.mha"), expected)


def test_a_report_by_hand(tmp_path):
    image = write_image(tmp_path / "ct.nii.gz", scan(), LPS)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("label,name,x_min,y_min,z_min,x_max,y_max,z_max\n5,L,6,5,2,29,25,6\n,,32,2,3,36,6,5\n")
    arguments = ("--boxes", boxes, *SHOWN, "--no-zoom", "--report", tmp_path / "r.csv", "-o", tmp_path / "m.nii.gz")
    assert segment(image, *arguments) == 0
    with open(tmp_path / "r.csv", newline="") as file:
        found, nothing = csv.DictReader(file)
    count = int(mask().sum())
    assert found == {
        "file": "ct.nii.gz", "object": "1", "label": "5", "name": "L", "voxels": str(count),
        "millilitres": f"{count * 0.7 * 0.9 * 4 / 1000:.6g}", "mean": "150", "min": "150", "max": "150",
        "x_min": "6", "y_min": "5", "z_min": "2", "x_max": "29", "y_max": "25", "z_max": "6",
    }  # fmt: skip
    assert [nothing[name] for name in ("object", "label", "voxels", "millilitres", "mean", "x_min")] == [
        "2", "1", "0", "0", "", "",
    ]  # fmt: skip


def test_pictures_with_coco_boxes(tmp_path):
    discs = {name: picture(tmp_path / "in" / name, seed) for seed, name in enumerate(("a.png", "b.jpg", "c.tif"))}
    content = {
        "images": [{"id": 70 + i, "file_name": f"x/{name}"} for i, name in enumerate(discs)],
        "categories": [{"id": 4, "name": "cell"}],
        "annotations": [
            {"id": i, "image_id": 70 + i, "category_id": 4, "bbox": [28, 18, 25, 25]} for i in range(len(discs))
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    arguments = (tmp_path / "in", "--boxes", tmp_path / "coco.json", "--no-zoom", "-o", tmp_path / "out")
    assert segment(*arguments) == 0
    made = json.loads((tmp_path / "out/coco.json").read_text())
    assert [(image["id"], image["file_name"]) for image in made["images"]] == list(enumerate(discs, 70))
    assert [annotation["image_id"] for annotation in made["annotations"]] == [70, 71, 72]
    assert made["categories"] == [{"id": 4, "name": "cell"}]
    for image, annotation, stem in zip(made["images"], made["annotations"], "abc", strict=True):
        segs = cv2.imread(str(tmp_path / f"out/{stem}.png"), cv2.IMREAD_UNCHANGED)
        assert (segs == discs[image["file_name"]]).mean() > 0.97
        counts, flat = annotation["segmentation"]["counts"], np.zeros(segs.size, np.uint8)
        ends = np.cumsum(counts)
        for start, end in zip(ends[0::2], ends[1::2], strict=False):
            flat[start:end] = 1
        np.testing.assert_array_equal(flat.reshape(segs.T.shape).T, segs)
        assert annotation["area"] == segs.sum()
        assert annotation["category_id"] == 4

    (tmp_path / "out/b.png").unlink()
    (tmp_path / "out/coco.json").unlink()
    assert segment(*arguments, "--skip-existing") == 0
    again = json.loads((tmp_path / "out/coco.json").read_text())
    assert again == made


def test_a_bad_file_of_a_folder_does_not_stop_the_others(tmp_path, log):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.nii.gz", "b.nrrd", "d.mha"):
        write_image(folder / name, scan(), LPS)
    (folder / "c.nii.gz").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("no image")
    write_series(folder / "e", scan(), LPS)
    boxes = tmp_path / "boxes"
    boxes.mkdir()
    for stem in "abcde":
        (boxes / f"{stem}.json").write_text(json.dumps([{"box": list(map(int, BOX.split(",")))}]))
    arguments = (folder, "--boxes", boxes, *SHOWN, "-o", tmp_path / "out")
    assert segment(*arguments, "--overlay", tmp_path / "shown") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "b.nrrd", "d.mha", "e.seg.dcm"]
    assert sorted(path.name for path in (tmp_path / "shown").iterdir()) == ["a.png", "b.png", "d.png", "e.png"]
    errors = [record.getMessage() for record in log.records if record.levelno >= logging.ERROR]
    assert errors == [
        "c.nii.gz: not a readable .nii.gz file: damaged, truncated or of another format",
        "1 of 5 cases failed: c.nii.gz",
    ]
    assert PATIENT not in log.text
    np.testing.assert_array_equal(labels(tmp_path / "out/b.nrrd"), mask())

    log.clear()
    assert segment(*arguments, "--shard", "2/2", "--format", ".mha") == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.mha")) == ["b.mha", "d.mha"]


def test_a_box_outside_costs_itself_only(tmp_path, log):
    image = write_image(tmp_path / "ct.nii.gz", scan(), LPS)
    result = tmp_path / "m.nii.gz"
    assert segment(image, "--box", BOX, "--box", "50,5,2,60,9,4", *SHOWN, "-o", result) == 1
    assert "box 2 is outside the image (voxels: x 40, y 32, z 9)" in log.text
    np.testing.assert_array_equal(labels(result), mask())


def test_nothing_that_is_read_is_written_over(tmp_path):
    image = write_image(tmp_path / "ct.nii.gz", scan(), LPS)
    rough = write_image(tmp_path / "rough.nii.gz", mask(), LPS)
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"box": [6, 5, 2, 29, 25, 6]}]))
    folder = write_series(tmp_path / "dicom", scan(), LPS)
    for arguments in (
        (image, "--box", BOX, "-o", image),
        (image, "--box-from", rough, "-o", rough),
        (image, "--boxes", boxes, "-o", tmp_path / "m.nii.gz", "--report", boxes),
        (folder, "--box", BOX, "-o", folder / "m.seg.dcm"),
        (tmp_path, "--box", BOX, "-o", tmp_path),
    ):
        with pytest.raises(SetupError, match=r"would|results have"):
            segment(*arguments)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("m.txt", "the result is written as"),
        ("m.seg.dcm", "the result is written as"),
        ("m.png", "a volume is written as"),
    ],
)
def test_formats_that_cannot_hold_the_result(tmp_path, log, name, reason):
    image = write_image(tmp_path / "ct.nii.gz", scan(), LPS)
    assert segment(image, "--box", BOX, *SHOWN, "-o", tmp_path / name) == 1
    assert reason in log.text
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["precious.png", "precious.seg.dcm"])
def test_what_lies_where_a_wrong_command_points_stays(tmp_path, name):
    image = write_image(tmp_path / "ct.nii.gz", scan(), LPS)
    (tmp_path / name).write_text("mine")
    assert segment(image, "--box", BOX, *SHOWN, "-o", tmp_path / name) == 1
    assert (tmp_path / name).read_text() == "mine"


def test_a_folder_of_images_needs_a_folder_and_names_of_its_own_for_the_masks(tmp_path):
    for name in ("in/a.nii.gz", "in/a.nrrd"):
        (tmp_path / "in").mkdir(exist_ok=True)
        write_image(tmp_path / name, scan(), LPS)
    with pytest.raises(SetupError, match="a folder of images: -o is a folder"):
        segment(tmp_path / "in", "--box", BOX, "-o", tmp_path / "m.nii.gz")
    with pytest.raises(SetupError, match=r"a.nii: would be the result of .*a.nii.gz and of .*a.nrrd; rename one"):
        segment(tmp_path / "in", "--box", BOX, "-o", tmp_path / "out", "--format", ".nii")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_two_boxes_of_one_label_are_one_segment(tmp_path):
    image = write_image(tmp_path / "ct.nii.gz", scan(), LPS)
    boxes = tmp_path / "b.json"
    boxes.write_text(
        '[{"label": 2, "name": "L", "box": [6, 5, 2, 13, 25, 6]}, {"label": 2, "box": [20, 12, 4, 25, 15, 5]}]'
    )
    assert segment(image, "--boxes", boxes, *SHOWN, "-o", tmp_path / "m.nrrd") == 0
    result = SimpleITK.ReadImage(str(tmp_path / "m.nrrd"))
    assert result.GetMetaData("Segment0_Name") == "L"
    assert not result.HasMetaDataKey("Segment1_ID")


def test_what_is_no_image_by_name_or_content(tmp_path):
    (tmp_path / "scan.img").write_bytes(bytes(1000))
    with pytest.raises(SetupError, match="not an image of a kind that is known"):
        segment(tmp_path / "scan.img", "--box", BOX, "-o", tmp_path / "m.nii")
    picture(tmp_path / "scan.png")
    (tmp_path / "scan.png").rename(tmp_path / "scan")
    assert segment(tmp_path / "scan", "--box", "28,18,52,42", "--no-zoom", "-o", tmp_path / "m.png") == 0


def test_names_that_are_no_utf_8_do_not_end_the_process(tmp_path, log):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / os.fsdecode(b"a\xff.nii.gz")).write_bytes(
        write_image(tmp_path / "b.nii.gz", scan(), LPS).read_bytes()
    )
    (tmp_path / "b.nii.gz").rename(tmp_path / "in/b.nii.gz")
    assert segment(tmp_path / "in", "--box", BOX, *SHOWN, "-o", tmp_path / "out") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.nii.gz"]
    assert r"a\udcff.nii.gz: its name, or that of a folder around it, is not UTF-8: rename it" in log.text


def test_pictures_have_no_window(tmp_path, log):
    picture(tmp_path / "a.png")
    assert segment(tmp_path / "a.png", "--box", "28,18,52,42", *SHOWN, "-o", tmp_path / "m.png") == 1
    assert "pictures have no --window" in log.text


def test_nothing_of_the_patient_gets_anywhere(tmp_path, log, capfd):
    folder = write_series(tmp_path / "scan", scan(), LPS, PatientComments=PATIENT, SeriesDescription=PATIENT)
    arguments = ("--box", BOX, *SHOWN, "--report", tmp_path / "r.csv", "--overlay", tmp_path / "o")
    assert segment(folder, *arguments, "-o", tmp_path / "m.nii.gz") == 0
    files = [tmp_path / "r.csv", tmp_path / "m.nii.gz", *(tmp_path / "o").iterdir()]
    assert not any(PATIENT.encode() in path.read_bytes() for path in files)
    assert PATIENT not in log.text + "".join(capfd.readouterr())
    header = SimpleITK.ReadImage(str(tmp_path / "m.nii.gz"))
    assert not any(PATIENT in header.GetMetaData(key) for key in header.GetMetaDataKeys())


def test_header_texts_of_nifti_are_not_copied(tmp_path):
    import nibabel

    image = nibabel.Nifti1Image(scan(), np.diag([1, 1, 4, 1]))
    image.header["descrip"] = image.header["aux_file"] = PATIENT.encode()
    image.to_filename(tmp_path / "a.nii")
    assert segment(tmp_path / "a.nii", "--box", BOX, *SHOWN, "-o", tmp_path / "m.nii") == 0
    assert PATIENT.encode() not in (tmp_path / "m.nii").read_bytes()


def test_no_boxes_for_an_image(tmp_path, log):
    picture(tmp_path / "in/a.png")
    (tmp_path / "b.json").write_text('[{"box": [1, 2, 30, 40], "file": "other.png"}]')
    assert segment(tmp_path / "in", "--boxes", tmp_path / "b.json", "-o", tmp_path / "out") == 1
    assert "a.png: no box for it" in log.text


def test_what_is_missing_is_said_before_any_work(tmp_path):
    with pytest.raises(SetupError, match="no such file or folder"):
        segment(tmp_path / "gone.nii", "--box", BOX, "-o", tmp_path / "m.nii")
    (tmp_path / "in").mkdir()
    with pytest.raises(SetupError, match="no images in it"):
        segment(tmp_path / "in", "--box", BOX, "-o", tmp_path / "out")
    (tmp_path / "in/a.png").touch()
    with pytest.raises(SetupError, match=r"boxes.json: cannot be read"):
        segment(tmp_path / "in", "--boxes", tmp_path / "boxes.json", "-o", tmp_path / "out")


def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch):
    from inference.files import extra

    extra._library.cache_clear()
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(SetupError, match=r"need SimpleITK, .* pip install '.\[files\]'"):
        segment(write_image_of_bytes(tmp_path), "--box", BOX, "-o", tmp_path / "m.nii")
    extra._library.cache_clear()


def write_image_of_bytes(folder):
    (folder / "a.nii").write_bytes(b"")
    return folder / "a.nii"


def test_the_command_as_a_process(tmp_path, untrained):
    """In a clean process with networks: the mask lies in the box, streams are as they should be."""
    image = write_image(tmp_path / "ct.nii.gz", scan(), LPS)
    arguments = ["segment", image, "--box", BOX, "-o", tmp_path / "out/m.nrrd", "--weights", untrained("light")[1]]
    line = [sys.executable, "-m", "inference", *map(str, arguments)]
    done = subprocess.run(line, cwd=ROOT, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "ct.nii.gz: slices along z of the file (axial), 4 mm apart; CT, window 40,400"
    assert done.stdout.splitlines()[-1].endswith(f" -> {tmp_path}/out/m.nrrd")
    found = labels(tmp_path / "out/m.nrrd")
    assert found.shape == (40, 32, 9)
    assert not found[:, :, :2].any()
    wrong = subprocess.run([*line, "--series", "0"], cwd=ROOT, text=True, capture_output=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (EXIT_USAGE, "")
