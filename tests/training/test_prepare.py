"""From images, NIfTI, DICOM and npz trees to the training tree."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from inference.cases.intensity import rescale_percentiles, window_level
from inference.errors import CaseError
from tests.support.data_root import write_phantom_root
from training.data.labelled_case import LabelledCase, as_label_map, read_labelled_case, write_labelled_case
from training.data.statistics import table_by_class
from training.prepare import main


def run(*arguments: object) -> int:
    return main([str(argument) for argument in (*arguments, "--workers", 2)])


def disc(size: int = 40, radius: int = 10) -> np.ndarray:
    rows, columns = np.ogrid[:size, :size]
    return ((rows - size // 2) ** 2 + (columns - size // 2) ** 2 <= radius**2).astype(np.uint8)


def write_pair(folder: Path, name: str, image: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.jpg"), image)
    cv2.imwrite(str(folder / f"{name}.png"), labels)


# Intensities


def test_window_maps_its_ends_to_0_and_255() -> None:
    values = np.array([-1000, -160, 40, 239.99, 240, 3000])
    assert window_level(values, level=40, width=400).tolist() == [0, 0, 127, 254, 255, 255]


def test_percentiles_are_of_the_non_zero_voxels() -> None:
    # 0.5 % and 99.5 % of 1..1001 are 6 and 996 exactly; the zeros must not count.
    values = np.concatenate([np.zeros(100_000), np.arange(1, 1002)])
    rescaled = rescale_percentiles(values)
    assert rescaled[100_000 + 5] == 0  # the value 6
    assert rescaled[100_000 + 6] == 0  # 255 / 990 is below one grey value
    assert rescaled[100_000 + 995] == 255  # the value 996
    assert rescaled[100_000 + 500] == 127  # the value 501 in the middle
    assert not rescale_percentiles(np.zeros((3, 4))).any()


# Labels


def test_labels_take_the_smallest_type() -> None:
    assert as_label_map(np.array([[0.0, 255.0]])).dtype == np.uint8
    wide = as_label_map(np.array([[0, 256]], np.int64))
    assert wide.dtype == np.uint16
    assert wide.tolist() == [[0, 256]]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [([0.5, 1], "whole numbers"), ([-1, 0], "0..65535"), ([0, 65536], "0..65535"), ([np.nan], "NaN")],
)
def test_labels_that_are_none_are_refused(labels: list[float], reason: str) -> None:
    with pytest.raises(CaseError, match=reason):
        as_label_map(np.array(labels))


# Images


def test_images_become_cases(tmp_path: Path) -> None:
    colour = np.zeros((30, 40, 3), np.uint8)
    colour[..., 2] = 200  # OpenCV writes blue, green, red
    write_pair(tmp_path / "in/Dermoscopy/moles", "a", colour, disc(40)[:30])
    write_pair(tmp_path / "in/US/nodules", "b", np.full((40, 40), 77, np.uint8), disc() * 3)

    assert run("images", "--in", tmp_path / "in", "--out", tmp_path / "out") == 0
    red = read_labelled_case(tmp_path / "out/Dermoscopy/moles/a.npz")
    assert red.imgs.shape == (30, 40, 3)
    assert red.imgs[..., 0].min() > 180
    assert red.imgs[..., 1:].max() < 20
    grey = read_labelled_case(tmp_path / "out/US/nodules/b.npz")
    assert grey.imgs.shape == (40, 40)
    np.testing.assert_array_equal(grey.gts, disc() * 3)
    assert grey.spacing is None


def test_finished_outputs_are_skipped_until_their_source_changes(tmp_path: Path) -> None:
    write_pair(tmp_path / "in/US/x", "a", np.full((40, 40), 9, np.uint8), disc())
    command = ("images", "--in", tmp_path / "in", "--out", tmp_path / "out")
    target = tmp_path / "out/US/x/a.npz"
    run(*command)
    first = target.stat().st_mtime_ns
    run(*command)
    assert target.stat().st_mtime_ns == first
    write_pair(tmp_path / "in/US/x", "a", np.full((40, 40), 50, np.uint8), disc())
    run(*command)
    assert read_labelled_case(target).imgs.mean() == pytest.approx(50, abs=1)


def test_a_bad_image_is_named_and_the_others_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in/US/x"
    write_pair(folder, "good", np.full((40, 40), 9, np.uint8), disc())
    write_pair(folder, "broken", np.full((40, 40), 9, np.uint8), disc())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a jpeg")
    write_pair(folder, "sizes", np.full((40, 41), 9, np.uint8), disc())
    write_pair(folder, "coloured", np.full((40, 40), 9, np.uint8), np.dstack([disc(), disc() * 2, disc()]))

    assert run("images", "--in", tmp_path / "in", "--out", tmp_path / "out") == 1
    errors = capsys.readouterr().err
    for name, reason in (
        ("broken", "not a readable image"),
        ("sizes", "do not belong together"),
        ("coloured", "colours"),
    ):
        lines = [line for line in errors.splitlines() if f"{name}.jpg: " in line]
        assert len(lines) == 1
        assert reason in lines[0]
    assert [path.name for path in (tmp_path / "out/US/x").iterdir()] == ["good.npz"]


def test_suffixes_thresholds_and_sizes(tmp_path: Path) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    cv2.imwrite(str(folder / "a_img.png"), np.tile(2 * np.arange(100, dtype=np.uint8), (50, 1)))
    cv2.imwrite(str(folder / "a_mask.png"), np.pad(np.full((20, 30), 255, np.uint8), ((10, 20), (30, 40))))
    options = ("--image-suffix", "_img.png", "--label-suffix", "_mask.png", "--modality", "OCT", "--dataset", "fluid")
    shapes = ("--binary-threshold", 127, "--longest-side", 50)
    assert run("images", "--in", folder, "--out", tmp_path / "out", *options, *shapes) == 0
    case = read_labelled_case(tmp_path / "out/OCT/fluid/a.npz")
    assert case.imgs.shape == (25, 50)
    assert case.imgs[0, :3].tolist() == [1, 5, 9]  # area means of 0 2 | 4 6 | 8 10
    expected = np.zeros((25, 50), np.uint8)
    expected[5:15, 15:30] = 1
    np.testing.assert_array_equal(case.gts, expected)


def test_two_sources_of_one_case_are_refused(tmp_path: Path) -> None:
    for part in ("p", "q"):
        write_pair(tmp_path / "in" / part, "a", np.full((40, 40), 9, np.uint8), disc())
    with pytest.raises(SystemExit, match="would both become"):
        run("images", "--in", tmp_path / "in", "--out", tmp_path / "out", "--modality", "US", "--dataset", "x")


def test_jpeg_label_maps_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pair(tmp_path / "in/US/x", "a", np.full((40, 40), 9, np.uint8), disc())
    cv2.imwrite(str(tmp_path / "in/US/x/a_mask.jpg"), disc())
    arguments = ("--image-suffix", ".jpg", "--label-suffix", "_mask.jpg")
    assert run("images", "--in", tmp_path / "in", "--out", tmp_path / "out", *arguments) == 1
    assert "JPEG changes label numbers" in capsys.readouterr().err


# NIfTI

# Hounsfield units of a scan with 2 x 3 x 4 voxels (x, y, z); voxel (i, j, k) is 100 i + 20 j + 4 k - 160.
SCAN = (100 * np.arange(2)[:, None, None] + 20 * np.arange(3)[:, None] + 4 * np.arange(4) - 160).astype(np.int16)
LABELS = (SCAN > -130).astype(np.uint8)
SPACING = np.diag([0.5, 0.75, 2.0, 1.0])  # x to the right, y to the front, z to the head: NIfTI's own directions


def write_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


def prepare_nifti(tmp_path: Path, *more: object) -> int:
    folders = ("--images", tmp_path / "images", "--labels", tmp_path / "labels", "--out", tmp_path / "out")
    return run("nifti", *folders, "--modality", "CT", "--dataset", "scans", *more)


def test_nifti_is_windowed_and_laid_out_as_a_display_shows_it(tmp_path: Path) -> None:
    write_nifti(tmp_path / "images/p1_0000.nii.gz", SCAN, SPACING)
    write_nifti(tmp_path / "labels/p1.nii.gz", LABELS, SPACING)
    assert prepare_nifti(tmp_path, "--image-suffix", "_0000", "--window-level", -60, "--window-width", 200) == 0
    case = read_labelled_case(tmp_path / "out/CT/scans/p1.npz")
    assert case.imgs.shape == (4, 3, 2)
    np.testing.assert_allclose(case.spacing, [2, 0.75, 0.5])
    # Columns run to the patient's left and rows to the back, against the stored directions.
    expected = window_level(SCAN, -60, 200)[::-1, ::-1].transpose(2, 1, 0)
    np.testing.assert_array_equal(case.imgs, expected)
    np.testing.assert_array_equal(case.gts, LABELS[::-1, ::-1].transpose(2, 1, 0))


def test_volumes_come_to_one_pixel_spacing(tmp_path: Path) -> None:
    write_nifti(tmp_path / "images/p1.nii.gz", SCAN, SPACING)
    write_nifti(tmp_path / "labels/p1.nii.gz", LABELS, SPACING)
    assert prepare_nifti(tmp_path) == 0
    case = read_labelled_case(tmp_path / "out/CT/scans/p1.npz")  # 4 slices of 3 rows of 0.75 and 2 columns of 0.5 mm
    assert run("volumes", "--in", tmp_path / "out", "--out", tmp_path / "same", "--pixel-spacing", 0.25) == 0
    finer = read_labelled_case(tmp_path / "same/CT/scans/p1.npz")
    assert finer.imgs.shape == (4, 9, 4)
    np.testing.assert_allclose(finer.spacing, [2, 0.25, 0.25])
    np.testing.assert_array_equal(finer.gts, case.gts.repeat(3, axis=1).repeat(2, axis=2))
    assert prepare_nifti(tmp_path, "--out", tmp_path / "coarse", "--pixel-spacing", 1.125) == 0
    coarser = read_labelled_case(tmp_path / "coarse/CT/scans/p1.npz")
    assert coarser.imgs.shape == (4, 2, 1)
    np.testing.assert_allclose(coarser.spacing, [2, 1.125, 1.0])
    np.testing.assert_allclose(coarser.imgs.mean(axis=(1, 2)), case.imgs.mean(axis=(1, 2)), atol=1)
    with pytest.raises(SystemExit):
        prepare_nifti(tmp_path, "--pixel-spacing", 0)


def test_labels_stored_in_another_order_follow_the_image(tmp_path: Path) -> None:
    write_nifti(tmp_path / "images/p1.nii", SCAN, SPACING)
    # The same voxels stored z, x, y with x reversed.
    reversed_x = SPACING @ np.array([[-1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    affine = reversed_x[:, [2, 0, 1, 3]]
    write_nifti(tmp_path / "labels/p1.nii", LABELS[::-1].transpose(2, 0, 1), affine)
    assert prepare_nifti(tmp_path) == 0
    case = read_labelled_case(tmp_path / "out/CT/scans/p1.npz")
    np.testing.assert_array_equal(case.gts, LABELS[::-1, ::-1].transpose(2, 1, 0))


def test_slices_stay_in_the_plane_they_were_acquired_in(tmp_path: Path) -> None:
    """A sagittal scan: columns to the back, rows to the feet, slices to the right."""
    affine = np.array([[0, 0, 4.0, 0], [-1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1]])
    write_nifti(tmp_path / "images/p1.nii", SCAN, affine)
    write_nifti(tmp_path / "labels/p1.nii", LABELS, affine)
    prepare_nifti(tmp_path, "--window-level", -60, "--window-width", 200)
    case = read_labelled_case(tmp_path / "out/CT/scans/p1.npz")
    np.testing.assert_allclose(case.spacing, [4, 1, 1])
    # Rows are turned to run to the head and slices to the left; columns run to the back already.
    np.testing.assert_array_equal(case.imgs, window_level(SCAN, -60, 200)[:, ::-1, ::-1].transpose(2, 1, 0))


def test_other_modalities_are_rescaled_by_percentiles(tmp_path: Path) -> None:
    write_nifti(tmp_path / "images/p1.nii", SCAN, SPACING)
    write_nifti(tmp_path / "labels/p1.nii", LABELS, SPACING)
    prepare_nifti(tmp_path, "--modality", "MR")
    case = read_labelled_case(tmp_path / "out/MR/scans/p1.npz")
    np.testing.assert_array_equal(case.imgs, rescale_percentiles(SCAN)[::-1, ::-1].transpose(2, 1, 0))


def test_nifti_that_cannot_be_used_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shifted = SPACING.copy()
    shifted[0, 3] = 5
    for name in ("good", "shifted", "shape", "missing", "broken", "four"):
        write_nifti(tmp_path / f"images/{name}.nii", SCAN, SPACING)
    write_nifti(tmp_path / "labels/good.nii", LABELS, SPACING)
    write_nifti(tmp_path / "labels/shifted.nii", LABELS, shifted)
    write_nifti(tmp_path / "labels/shape.nii", LABELS[:, :2], SPACING)
    write_nifti(tmp_path / "labels/broken.nii", LABELS, SPACING).write_bytes(b"no header")
    write_nifti(tmp_path / "labels/four.nii", np.stack([LABELS, LABELS], axis=3), SPACING)

    assert prepare_nifti(tmp_path) == 1
    lines = capsys.readouterr().err.splitlines()
    reasons = {
        "shifted": "5 mm beside the image",
        "shape": "resample it to the image",
        "missing": "missing.nii.gz: no such file",
        "broken": "broken.nii: not a readable .nii file",
        "four": "holds 2 volumes: choose one",
    }
    for name, reason in reasons.items():
        assert sum(f"{name}.nii: " in line and reason in line for line in lines) == 1, (name, lines)
    assert [path.stem for path in (tmp_path / "out/CT/scans").iterdir()] == ["good"]


# DICOM


def write_series(folder: Path, scan: np.ndarray, skip: int | None = None) -> None:
    """`scan` (x, y, z) in Hounsfield units as an axial series whose file names are not in the order of the slices."""
    folder.mkdir(parents=True)
    series = generate_uid()
    for k in range(scan.shape[2]):
        if k == skip:
            continue
        item = pydicom.Dataset()
        item.file_meta = pydicom.dataset.FileMetaDataset()
        item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        item.file_meta.MediaStorageSOPClassUID = item.SOPClassUID = CTImageStorage
        item.file_meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID = generate_uid()
        item.SeriesInstanceUID = series
        item.Rows, item.Columns = scan.shape[1], scan.shape[0]
        item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
        item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 16, 16, 15, 0
        item.RescaleSlope, item.RescaleIntercept = 2, -1024
        item.PixelSpacing, item.SliceThickness = [0.75, 0.5], 2
        item.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        item.ImagePositionPatient = [10, 20, 2 * k]
        item.PixelData = ((scan[:, :, k].T + 1024) // 2).astype(np.uint16).tobytes()
        item.save_as(folder / f"{(7 * k) % 5}.dcm", enforce_file_format=True)
    (folder / "DICOMDIR.txt").write_text("not a slice")


def prepare_dicom(tmp_path: Path, labels: Path) -> int:
    arguments = ("--series", tmp_path / "p1", "--labels", labels, "--out", tmp_path / "out", "--window-level", -60)
    return run("dicom", *arguments, "--window-width", 200, "--modality", "CT", "--dataset", "scans")


def test_dicom_slices_are_sorted_by_position_and_rescaled(tmp_path: Path) -> None:
    write_series(tmp_path / "p1", SCAN)
    np.save(tmp_path / "labels.npy", LABELS.T)
    assert prepare_dicom(tmp_path, tmp_path / "labels.npy") == 0
    case = read_labelled_case(tmp_path / "out/CT/scans/p1.npz")
    np.testing.assert_array_equal(case.imgs, window_level(SCAN, -60, 200).T)
    np.testing.assert_array_equal(case.gts, LABELS.T)
    np.testing.assert_allclose(case.spacing, [2, 0.75, 0.5])


def test_a_nifti_label_of_a_dicom_series_is_brought_to_its_slices(tmp_path: Path) -> None:
    """NIfTI counts x to the right and y to the front: a converter stores rows in reverse, with the matching affine."""
    write_series(tmp_path / "p1", SCAN)
    affine = np.array([[-0.5, 0, 0, -10], [0, 0.75, 0, -20 - 2 * 0.75], [0, 0, 2, 0], [0, 0, 0, 1]])
    write_nifti(tmp_path / "labels.nii.gz", LABELS[:, ::-1], affine)
    assert prepare_dicom(tmp_path, tmp_path / "labels.nii.gz") == 0
    np.testing.assert_array_equal(read_labelled_case(tmp_path / "out/CT/scans/p1.npz").gts, LABELS.T)


def test_a_dicom_label_series_is_read_like_the_image(tmp_path: Path) -> None:
    write_series(tmp_path / "p1", SCAN)
    write_series(tmp_path / "labels", LABELS.astype(np.int16) * 2)
    assert prepare_dicom(tmp_path, tmp_path / "labels") == 0
    np.testing.assert_array_equal(read_labelled_case(tmp_path / "out/CT/scans/p1.npz").gts, LABELS.T * 2)


def test_a_missing_slice_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path / "p1", SCAN, skip=1)
    np.save(tmp_path / "labels.npy", LABELS.T[1:])
    assert prepare_dicom(tmp_path, tmp_path / "labels.npy") == 1
    assert "p1: slices are missing or not evenly spaced" in capsys.readouterr().err


# Volumes and cases


def test_volumes_are_validated_and_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = LabelledCase(
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.ones((2, 3, 4), np.uint16), np.float32([2, 1, 1])
    )
    write_labelled_case(tmp_path / "in/MR/a/good.npz", volume)
    np.savez(tmp_path / "in/MR/a/float.npz", imgs=np.zeros((2, 3, 4)), gts=volume.gts)
    np.savez(tmp_path / "in/MR/a/shape.npz", imgs=volume.imgs, gts=volume.gts[:1])
    np.savez(tmp_path / "in/MR/a/unlabelled.npz", imgs=volume.imgs)
    whole = (tmp_path / "in/MR/a/good.npz").read_bytes()
    (tmp_path / "in/MR/a/truncated.npz").write_bytes(whole[: len(whole) // 2])

    assert run("volumes", "--in", tmp_path / "in", "--out", tmp_path / "out") == 1
    copy = read_labelled_case(tmp_path / "out/MR/a/good.npz")
    np.testing.assert_array_equal(copy.imgs, volume.imgs)
    np.testing.assert_array_equal(copy.gts, volume.gts)
    np.testing.assert_allclose(copy.spacing, [2, 1, 1])
    errors = capsys.readouterr().err
    for name in ("float", "shape", "unlabelled", "truncated"):
        assert errors.count(f"{name}.npz: ") == 1
    assert [path.stem for path in (tmp_path / "out/MR/a").iterdir()] == ["good"]


def test_an_object_array_never_runs_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in/MR/a").mkdir(parents=True)
    np.savez(tmp_path / "in/MR/a/evil.npz", imgs=np.array([{}], object), gts=np.zeros((3, 4), np.uint8))
    assert run("volumes", "--in", tmp_path / "in", "--out", tmp_path / "out") == 1
    assert "never loaded" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = LabelledCase(np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.uint8))
    original, written = np.lib.format.write_array, []

    def second_write_fails(*arguments: object, **options: object) -> None:
        if written:
            raise OSError("no space left on device")
        written.append(True)
        original(*arguments, **options)

    monkeypatch.setattr(np.lib.format, "write_array", second_write_fails)
    with pytest.raises(OSError, match="no space"):
        write_labelled_case(tmp_path / "CT/a/0.npz", case)
    assert list((tmp_path / "CT/a").iterdir()) == []


# Statistics


def test_statistics_count_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.zeros((2, 10, 20), np.uint8)
    labels[0, :4, :4] = 1
    labels[0, 5:, 5:] = 2
    write_labelled_case(
        tmp_path / "r/CT/a/v.npz", LabelledCase(np.full((2, 10, 20), 100, np.uint8), labels, np.float32([1, 1, 1]))
    )
    write_labelled_case(
        tmp_path / "r/CT/b/s.npz", LabelledCase(np.full((40, 30, 3), 50, np.uint8), np.ones((40, 30), np.uint8))
    )
    tables = ("--csv", tmp_path / "table.csv", "--classes", tmp_path / "classes.csv")
    outputs = (*tables, "--plot", tmp_path / "plot.png")

    assert run("--stats", tmp_path / "r", *outputs) == 0
    row = pd.read_csv(tmp_path / "table.csv").iloc[0].to_dict()
    assert row == {
        "modality": "CT",
        "datasets": 2,
        "cases": 2,
        "slices": 3,
        "labelled_slices": 2,
        "side_min": 20,
        "side_median": 30,
        "side_max": 40,
        "intensity_mean": 75,
        "intensity_std": 0,
        "objects": 3,
        "objects_per_slice": 1.5,
        "object_side_median": 0.433,  # of 4 / 20, sqrt(75) / 20 and sqrt(1200) / 40
    }
    assert pd.read_csv(tmp_path / "classes.csv").to_numpy().tolist() == [
        ["CT", "a", 1, 1, 100.0, 17.6],  # 16 of 16 + 75 pixels
        ["CT", "a", 2, 1, 100.0, 82.4],
        ["CT", "b", 1, 1, 100.0, 100.0],
    ]
    assert cv2.imread(str(tmp_path / "plot.png")) is not None
    assert "CT" in capsys.readouterr().out


def test_numbered_objects_are_no_classes() -> None:
    case = {"modality": "Microscopy", "dataset": "nuclei", "labelled_slices": 1}
    nuclei = SimpleNamespace(**case, class_slices=dict.fromkeys(range(1, 31), 1), class_pixels={})
    assert table_by_class([nuclei, nuclei])["class"].tolist() == ["30 labels"]


def test_statistics_name_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_phantom_root(tmp_path / "r")
    (root / "US/grey/bad.npz").write_bytes(b"zip?")
    assert run("stats", "--root", root) == 1
    captured = capsys.readouterr()
    assert "bad.npz: not a whole npz file" in captured.err
    assert "Dermoscopy" in captured.out


# Real images


def test_real_images_keep_their_sizes_and_objects(tmp_path: Path, shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "train.csv")
    chosen = table.groupby("modality").first().reset_index()
    for row in chosen.itertuples():
        folder = tmp_path / "in" / row.modality / row.dataset
        folder.mkdir(parents=True)
        for suffix in (".jpg", ".png"):
            source = shared_data / "train" / row.modality / row.dataset / f"{row.id}{suffix}"
            (folder / source.name).symlink_to(source)
    assert run("images", "--in", tmp_path / "in", "--out", tmp_path / "out") == 0
    for row in chosen.itertuples():
        case = read_labelled_case(tmp_path / "out" / row.modality / row.dataset / f"{row.id}.npz")
        assert case.gts.shape == (row.height, row.width)
        assert len(np.unique(case.gts)) - 1 == row.objects
        assert case.imgs.ndim == (3 if row.channels == 3 else 2)
