"""DICOM in, DICOM SEG out; what cannot be read is refused by name."""

from pathlib import Path

import cv2
import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.uid import EncapsulatedPDFStorage, JPEG2000Lossless, JPEGBaseline8Bit, generate_uid

from inference.errors import CaseError
from inference.files.dicom import read_dicom
from inference.files.dicom_seg import check_seg_fits
from inference.files.image import Choice
from inference.files.prompts import Object
from tests.support.dicom_files import PATIENT, write_multi_frame, write_series
from tests.support.phantom_files import ORIENTATIONS, affine, box_of, mask, oblique, scan, segment, stored

MOST = 2**30
STRAIGHT = ((0, 1, 2), (1, 1, 1))
# DICOM's sense of slices follows from rows and columns: they run to where the cross product of both points.
ACQUIRED = [some for some in ORIENTATIONS if np.linalg.det(affine(*some)[:3, :3]) > 0]


@pytest.mark.parametrize("turned", [False, True], ids=["straight", "oblique"])
def test_every_orientation_of_slices_becomes_a_seg(tmp_path, turned):
    assert len(ACQUIRED) == 24
    for number, (order, signs) in enumerate(ACQUIRED):
        lps = affine(order, signs, oblique() if turned else None)
        expected = stored(mask(), order, signs)
        folder = write_series(tmp_path / f"{number}", stored(scan(), order, signs), lps)
        result = tmp_path / f"out/{number}.seg.dcm"
        arguments = (folder, "--box", box_of(expected), "--window", "0,2000")
        assert segment(*arguments, "-o", result) == 0
        volume = highdicom.seg.segread(result).get_volume(combine_segments=True)
        np.testing.assert_array_equal(in_grid(volume, lps, expected.shape), expected)
        assert segment(*arguments, "-o", result.with_name("mask.nii.gz")) == 0
        np.testing.assert_array_equal(
            SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(result.with_name("mask.nii.gz")))).T, expected
        )


def in_grid(volume, lps, shape):
    """The labels of a highdicom volume on voxels x, y, z of a grid, by patient coordinates alone."""
    labels = np.zeros(shape, np.uint8)
    places = np.argwhere(volume.array)
    points = places @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    indices = np.round((points - lps[:3, 3]) @ np.linalg.inv(lps[:3, :3]).T).astype(int)
    labels[tuple(indices.T)] = volume.array[tuple(places.T)]
    return labels


def test_names_and_labels_of_segments(tmp_path):
    folder = write_series(tmp_path / "scan", scan(), affine(*STRAIGHT))
    boxes = tmp_path / "boxes.json"
    boxes.write_text('[{"label": 7, "name": "liver", "box": [6, 5, 2, 13, 25, 6]}, {"box": [20, 12, 4, 25, 15, 5]}]')
    assert segment(folder, "--boxes", boxes, "--window", "0,2000", "-o", tmp_path / "a.seg.dcm") == 0
    seg = highdicom.seg.segread(tmp_path / "a.seg.dcm")
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["liver", "object 1"]
    assert [item.TrackingID for item in seg.SegmentSequence] == ["label 7", "label 1"]
    assert seg.SeriesInstanceUID != pydicom.dcmread(folder / "0000.dcm").SeriesInstanceUID
    assert seg.PatientName == PATIENT


def test_what_may_be_empty_in_dicom_may_lack(tmp_path):
    """As in series that SimpleITK has written, or that were made anonymous."""
    folder = write_series(tmp_path / "scan", scan(), affine(*STRAIGHT))
    for path in folder.iterdir():
        item = pydicom.dcmread(path)
        for name in ("PatientBirthDate", "PatientSex", "StudyID", "StudyTime", "AccessionNumber", "SliceThickness"):
            delattr(item, name)
        item.save_as(path)
    assert segment(folder, "--box", box_of(mask()), "--window", "0,2000", "-o", tmp_path / "a.seg.dcm") == 0
    volume = highdicom.seg.segread(tmp_path / "a.seg.dcm").get_volume(combine_segments=True)
    np.testing.assert_array_equal(in_grid(volume, affine(*STRAIGHT), mask().shape), mask())


def test_a_seg_of_many_objects_is_held_against_the_memory():
    """Of 512 x 512 pixels: a bit for each on every slice of every object, some times over."""
    objects = [Object(label, "", np.array([0, 0, 0, 9, 9, 99.0])) for label in range(1, 201)]
    objects.append(Object(201, "", np.full(6, np.nan)))
    with pytest.raises(CaseError, match=r"a DICOM SEG of 201 objects on 20001 slices .* needs 2\d{3} MB of memory"):
        check_seg_fits(objects, (512, 512, 100), 2 * 2**30)
    check_seg_fits(objects[:20], (512, 512, 100), 2 * 2**30)


def test_multi_frame(tmp_path):
    lps = affine(*STRAIGHT, oblique())
    path = write_multi_frame(tmp_path / "a.dcm", scan(), lps)
    image = read_dicom(path, Choice(), MOST)
    np.testing.assert_array_equal(image.values, scan().T[::-1])
    np.testing.assert_allclose(image.grid.spacing, [0.7, 0.9, 4.0], rtol=1e-6)
    np.testing.assert_allclose(image.grid.to_patient(np.array([[0, 0, 8.0]]))[0], lps[:3, 3], atol=1e-6)
    box = box_of(mask()[:, :, ::-1])
    assert segment(path, "--box", box, "--window", "0,2000", "-o", tmp_path / "m.seg.dcm") == 0
    volume = highdicom.seg.segread(tmp_path / "m.seg.dcm").get_volume(combine_segments=True)
    np.testing.assert_array_equal(in_grid(volume, lps, mask().shape), mask())


def test_frames_without_positions_are_slices(tmp_path):
    path = write_multi_frame(tmp_path / "a.dcm", scan(), affine(*STRAIGHT), positions=False)
    image = read_dicom(path, Choice(), MOST)
    assert image.notes == ["9 frames without positions, taken for slices 1 mm apart"]
    assert not image.has_geometry


def test_pixels_without_a_distance_are_1_mm_apart_with_a_warning(tmp_path):
    folder = write_series(tmp_path / "scan", scan(), affine(*STRAIGHT))
    for path in folder.iterdir():
        item = pydicom.dcmread(path)
        del item.PixelSpacing
        item.save_as(path)
    image = read_dicom(folder, Choice(), MOST)
    assert image.warnings == ["says nothing of how far apart pixels are: taken for 1 mm"]
    assert image.grid.spacing == (1, 1, 4)
    assert not image.has_geometry


def test_rescaled_inverted_and_coloured(tmp_path):
    lps = affine(*STRAIGHT)
    halved = read_dicom(
        write_series(tmp_path / "a", scan(), lps, RescaleSlope=0.5, RescaleIntercept=-10), Choice(), MOST
    )
    np.testing.assert_allclose(halved.values, (scan().T + 1024.0) / 2 - 10)
    inverted = read_dicom(
        write_series(tmp_path / "b", scan(), lps, PhotometricInterpretation="MONOCHROME1"), Choice(), MOST
    )
    np.testing.assert_array_equal(inverted.values, 150 - scan().T)
    item = pydicom.dcmread(write_series(tmp_path / "c", scan()[:, :, :1], lps) / "0000.dcm")
    item.SamplesPerPixel, item.PhotometricInterpretation, item.PlanarConfiguration = 3, "RGB", 0
    item.BitsAllocated, item.BitsStored, item.HighBit = 8, 8, 7
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    item.PixelData = pixels.tobytes()
    del item.RescaleSlope, item.RescaleIntercept
    item.save_as(tmp_path / "rgb.dcm")
    np.testing.assert_array_equal(read_dicom(tmp_path / "rgb.dcm", Choice(), MOST).values[0], pixels)


@pytest.mark.parametrize(
    "name",
    [
        "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_rle.dcm", "SC_rgb_jls_lossy_line.dcm",
        "SC_rgb_jpeg_app14_dcmd.dcm", "examples_ybr_color.dcm", "ExplVR_BigEnd.dcm", "SC_rgb_small_odd.dcm",
    ],
)  # fmt: skip
def test_colours_are_those_that_another_library_decodes(name):
    path = pydicom.data.get_testdata_file(name, download=False)
    expected = pydicom.pixels.pixel_array(path)
    image = read_dicom(Path(path), Choice(), MOST)
    np.testing.assert_array_equal(image.values, expected.reshape(image.values.shape))


@pytest.mark.parametrize("syntax", ["jp2klossless", "jpeg_ls_lossless", "RLE", "bigendian", "implicit"])
def test_gray_values_are_the_same_however_they_are_coded(syntax):
    plain, coded = (
        read_dicom(Path(pydicom.data.get_testdata_file(name, download=False)), Choice(), MOST)
        for name in ("MR_small.dcm", f"MR_small_{syntax}.dcm")
    )
    np.testing.assert_array_equal(coded.values, plain.values)


def test_a_directory_of_a_disc_and_a_dose_are_no_images(tmp_path):
    for name, kind in (("dicomdirtests/DICOMDIR", "Media Storage Directory"), ("rtdose.dcm", "RT Dose")):
        with pytest.raises(CaseError, match=f"holds no image .{kind}"):
            read_dicom(Path(pydicom.data.get_testdata_file(name, download=False)), Choice(), MOST)


def broken(tmp_path, kind):
    lps = affine(*STRAIGHT)
    if kind == "missing":
        return write_series(tmp_path / "a", scan(), lps, skip=4)
    folder = write_series(tmp_path / "a", scan(), lps)
    first = pydicom.dcmread(folder / "0000.dcm")
    if kind == "two series":
        write_series(folder / "b", scan()[:, :, :3], lps, Modality="MR")
        for path in (folder / "b").iterdir():
            path.rename(folder / f"b{path.name}")
    elif kind == "sizes":
        first.Rows //= 2
        first.save_as(folder / "0000.dcm")
    elif kind == "localizer":
        first.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        first.save_as(folder / "0000.dcm")
    elif kind == "doubled":
        first.SOPInstanceUID = generate_uid()
        first.save_as(folder / "again.dcm")
    elif kind == "tilted":
        for path in folder.iterdir():
            item = pydicom.dcmread(path)
            item.ImagePositionPatient[1] += item.InstanceNumber
            item.save_as(path)
    elif kind == "truncated":
        data = (folder / "0000.dcm").read_bytes()
        (folder / "0000.dcm").write_bytes(data[:-100])
    elif kind == "header only":
        data = (folder / "0000.dcm").read_bytes()
        (folder / "0000.dcm").write_bytes(data[:400])
    elif kind == "deflated":
        first.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
        first.save_as(folder / "0000.dcm")
    elif kind == "pdf":
        first.SOPClassUID = first.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
        first.Modality = "DOC"
        del first.Rows, first.Columns, first.PixelData
        first.EncapsulatedDocument = b"%PDF-"
        first.save_as(tmp_path / "pdf.dcm")
        return tmp_path / "pdf.dcm"
    elif kind == "encrypted":
        del first.Rows, first.Columns, first.PixelData
        first.EncryptedAttributesSequence = [pydicom.Dataset()]
        first.save_as(tmp_path / "e.dcm")
        return tmp_path / "e.dcm"
    elif kind == "slide":
        first.NumberOfFrames, first.TotalPixelMatrixRows = 2, 64
        first.PixelData = first.PixelData * 2
        first.save_as(tmp_path / "sm.dcm")
        return tmp_path / "sm.dcm"
    elif kind in (".jpg", ".jp2"):
        first.BitsAllocated, first.BitsStored, first.HighBit = 8, 8, 7
        first.file_meta.TransferSyntaxUID = JPEG2000Lossless if kind == ".jp2" else JPEGBaseline8Bit
        encoded = cv2.imencode(kind, np.zeros((300, 500), np.uint8))[1].tobytes()
        first.PixelData = pydicom.encaps.encapsulate([encoded])
        first["PixelData"].VR = "OB"
        first.save_as(folder / "0000.dcm")
    elif kind in ("compressed nonsense", "huge"):
        if kind == "huge":
            first.Rows, first.Columns, first.NumberOfFrames = 60000, 60000, 500
        first.file_meta.TransferSyntaxUID = JPEG2000Lossless
        first.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51 nonsense"])
        first["PixelData"].VR = "OB"
        first.save_as(tmp_path / "j.dcm")
        return tmp_path / "j.dcm"
    elif kind == "seg":
        first.Modality = "SEG"
        first.save_as(tmp_path / "s.dcm")
        return tmp_path / "s.dcm"
    return folder


BAD = {
    "missing": "slices are missing",
    "two series": r"holds 2 series, choose one with --series: 1 is CT 40 x 32, 9 files; 2 is MR 40 x 32, 3 files",
    "sizes": "slices differ in size",
    "localizer": "slices are not parallel",
    "doubled": "several slices at one position",
    "tilted": "a tilted gantry",
    "truncated": "truncated: 2472 bytes of 2560",
    "header only": "ends before its size",
    "deflated": "is deflated as a whole",
    "pdf": "holds no image .Encapsulated PDF Storage",
    "encrypted": "encrypted",
    "compressed nonsense": "cannot be decoded",
    "slide": "a whole slide in tiles",
    ".jpg": "compressed pixels are of another size",
    ".jp2": "compressed pixels are of another size",
    "huge": "needs .* MB of memory",
    "seg": "holds no image",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_dicom_is_refused_in_one_line(tmp_path, kind, capfd):
    with pytest.raises(CaseError, match=BAD[kind]) as refusal:
        read_dicom(broken(tmp_path, kind), Choice(), MOST)
    assert "\n" not in str(refusal.value)
    assert PATIENT not in str(refusal.value)
    assert capfd.readouterr() == ("", "")


def test_compressed_slices_and_slopes_of_their_own(tmp_path):
    folder = write_series(tmp_path / "a", scan(), affine(*STRAIGHT))
    for path in folder.iterdir():
        item = pydicom.dcmread(path)
        item.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        item.RescaleSlope = 1 if item.InstanceNumber == 1 else 0.25 * item.InstanceNumber
        item.save_as(path)
    slopes = np.array([1, *(0.25 * k for k in range(2, 10))])[:, None, None]
    values = read_dicom(folder, Choice(), MOST).values
    np.testing.assert_allclose(values, (scan().T + 1024) * slopes - 1024, rtol=1e-6)


def test_what_is_no_dicom(tmp_path):
    (tmp_path / "a.dcm").write_bytes(bytes(500))
    with pytest.raises(CaseError, match="not a DICOM file"):
        read_dicom(tmp_path / "a.dcm", Choice(), MOST)


def test_attributes_that_are_nonsense_are_not_quoted(tmp_path, capfd):
    """pydicom parses them late, and would say what stands there."""
    folder = write_series(tmp_path / "a", scan(), affine(*STRAIGHT))
    data = (folder / "0000.dcm").read_bytes()
    (folder / "0000.dcm").write_bytes(data.replace(b"-11.5", b"-X^.5"))
    with pytest.raises(CaseError) as refusal:
        read_dicom(folder, Choice(), MOST)
    assert "X^" not in str(refusal.value)
    assert capfd.readouterr() == ("", "")


def test_a_chosen_series(tmp_path):
    assert read_dicom(broken(tmp_path, "two series"), Choice(series=2), MOST).modality == "MR"
