"""NIfTI, NRRD and MetaImage as people have them, whole, odd and broken."""

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK

from inference.cases.intensity import rescale_percentiles, window_level
from inference.errors import CaseError
from inference.files.file_case import file_case
from inference.files.image import Choice
from inference.files.itk import read_itk
from inference.files.prompts import Prompt, objects_of
from inference.options import WINDOWS
from tests.support.phantom_files import affine, scan, stored, write_image

MOST = 2**30
LPS = affine((0, 1, 2), (1, 1, 1))


def grey(path, window=None, **choice):
    image = read_itk(path, Choice(**choice), MOST)
    objects = objects_of([Prompt((1, 1, 1, 5, 5, 2))], image.grid)
    return file_case(image, objects, window, keep_values=False)


def test_intensities_are_those_of_training(tmp_path):
    path = write_image(tmp_path / "a.nii.gz", scan(), LPS)
    ct = grey(path)
    np.testing.assert_array_equal(ct.volume, window_level(scan().T, 40, 400))
    assert ct.notes == [
        "slices along z of the file (axial), 4 mm apart; CT, window 40,400",
        "taken for CT, since it has values below -500; --modality says otherwise",
    ]
    np.testing.assert_array_equal(grey(path, WINDOWS["lung"]).volume, window_level(scan().T, -160, 1500))
    mr = grey(path, modality="MR")
    np.testing.assert_array_equal(mr.volume, rescale_percentiles(scan().T))
    assert mr.notes == [
        "slices along z of the file (axial), 4 mm apart; MR, intensities between the 0.5 and 99.5 percentile"
    ]
    unknown = grey(write_image(tmp_path / "b.nii.gz", scan() + np.int16(1000), LPS))
    assert unknown.notes[1] == "taken for no CT, since it has no values below -500; --modality CT where it is"


def test_ct_that_is_none_is_warned_of(tmp_path):
    path = write_image(tmp_path / "a.nii.gz", scan() + np.int16(1000), LPS)
    reason = "CT without a negative value, which are no Hounsfield units: give their --window"
    assert grey(path, modality="CT").warnings == [reason]
    assert grey(path, WINDOWS["lung"], modality="CT").warnings == []


def test_slope_and_intercept(tmp_path):
    image = nibabel.Nifti1Image((scan() + 1000).astype(np.int16), np.diag([1, 1, 4, 1]))
    image.header.set_slope_inter(0.5, -7)
    image.to_filename(tmp_path / "a.nii.gz")
    stored = nibabel.load(tmp_path / "a.nii.gz").get_fdata()
    np.testing.assert_allclose(read_itk(tmp_path / "a.nii.gz", Choice(), MOST).values, stored.T, atol=1e-3)


def test_four_dimensions(tmp_path):
    values = np.stack([scan(), scan() + 7, scan() + 9], axis=3)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1, 1, 4, 1])), tmp_path / "a.nii.gz")
    with pytest.raises(CaseError, match="holds 3 volumes: choose one with --volume 0 to --volume 2"):
        read_itk(tmp_path / "a.nii.gz", Choice(), MOST)
    with pytest.raises(CaseError, match="the last is --volume 2"):
        read_itk(tmp_path / "a.nii.gz", Choice(volume=3), MOST)
    np.testing.assert_array_equal(read_itk(tmp_path / "a.nii.gz", Choice(volume=1), MOST).values, scan().T + 7)


def test_slices_are_called_by_their_index_in_the_file(tmp_path):
    turned = (2, 0, 1), (-1, 1, 1)  # the file's x runs from head to feet
    path = write_image(tmp_path / "a.nrrd", stored(scan(), *turned), affine(*turned))
    assert [grey(path).slice_name(z) for z in (0, 8)] == ["x=8", "x=0"]


def test_one_slice_and_two_dimensions(tmp_path):
    flat = write_image(tmp_path / "a.nii.gz", scan()[:, :, 3:4], LPS)
    image = read_itk(flat, Choice(), MOST)
    case = file_case(image, objects_of([Prompt((1, 2, 5, 6))], image.grid), None, keep_values=False)
    assert (case.is_volume, case.shape) == (False, (1, 32, 40))
    assert case.boxes[0].tolist() == [1, 2, 0, 5, 6, 0]
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(scan()[:, :, 3].T.copy()), str(tmp_path / "b.nrrd"))
    assert read_itk(tmp_path / "b.nrrd", Choice(), MOST).grid.dimensions == 2


def test_colours_and_vectors(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(colours, isVector=True), str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(read_itk(tmp_path / "a.nrrd", Choice(), MOST).values, colours)
    vectors = SimpleITK.GetImageFromArray(colours.astype(np.float32), isVector=True)
    SimpleITK.WriteImage(vectors, str(tmp_path / "b.nrrd"))
    with pytest.raises(CaseError, match="holds 3 volumes"):
        read_itk(tmp_path / "b.nrrd", Choice(), MOST)
    np.testing.assert_array_equal(read_itk(tmp_path / "b.nrrd", Choice(volume=2), MOST).values, colours[..., 2])


def test_nan_is_taken_for_0(tmp_path):
    values = scan().astype(np.float32)
    values[3, 4, 5], values[3, 4, 6] = np.nan, np.inf
    image = read_itk(write_image(tmp_path / "a.nrrd", values, LPS), Choice(), MOST)
    assert image.warnings == ["2 voxels hold NaN or infinity, taken for 0"]
    assert image.values[5, 4, 3] == image.values[6, 4, 3] == 0


def test_metaimage_says_its_modality(tmp_path):
    data = write_image(tmp_path / "a.mha", scan(), LPS).read_bytes()
    (tmp_path / "a.mha").write_bytes(data.replace(b"DimSize", b"Modality = MET_MOD_MR\nDimSize", 1))
    assert read_itk(tmp_path / "a.mha", Choice(), MOST).modality == "MR"


@pytest.mark.parametrize("part", [0.1, 0.5, 0.98])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_truncated(tmp_path, ending, part, capfd):
    noise = np.random.default_rng(0).integers(0, 1000, (40, 32, 9)).astype(np.int16)
    path = write_image(tmp_path / f"a{ending}", noise, LPS)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    refused(path, "truncated", capfd)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_damage_in_what_is_compressed(tmp_path, ending, capfd):
    """Also that of a single bit, of which decompressors may make other values without a word."""
    noise = np.random.default_rng(0).integers(0, 1000, (40, 32, 9)).astype(np.int16)
    path = write_image(tmp_path / f"a{ending}", noise, LPS)
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(path), True)
    (tmp_path / "a.raw").unlink(missing_ok=True)  # what was not compressed
    np.testing.assert_array_equal(read_itk(path, Choice(), MOST).values, noise.T)
    data_file = max(tmp_path.iterdir(), key=lambda file: file.stat().st_size)
    data = data_file.read_bytes()
    for place in np.linspace(0.2, 0.9, 10) * len(data):
        flipped = bytearray(data)
        flipped[int(place)] ^= 16
        data_file.write_bytes(flipped)
        refused(path, "damaged|truncated", capfd)


def test_more_after_the_voxels_is_no_damage(tmp_path):
    path = write_image(tmp_path / "a.nii.gz", scan(), LPS)
    path.write_bytes(path.read_bytes() + gzip.compress(b"more"))
    np.testing.assert_array_equal(read_itk(path, Choice(), MOST).values, scan().T)


def refused(path, reason, capfd, most=MOST):
    with pytest.raises(CaseError, match=reason) as refusal:
        read_itk(path, Choice(), most)
    assert "\n" not in str(refusal.value)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_image(tmp_path, capfd):
    (tmp_path / "text.nii").write_text("no image")
    refused(tmp_path / "text.nii", "not a readable .nii file", capfd)
    (tmp_path / "empty.nrrd").write_bytes(b"")
    refused(tmp_path / "empty.nrrd", "not a readable .nrrd file", capfd)
    (tmp_path / "folder.mha").mkdir()
    refused(tmp_path / "folder.mha", "not a regular file", capfd)
    refused(tmp_path / "absent.mha", "cannot be read", capfd)
    (tmp_path / "lone.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\nElementDataFile = gone.raw\n"
    )
    refused(tmp_path / "lone.mhd", "damaged|readable", capfd)
    complex_values = np.ones((4, 4, 4), np.complex64)
    nibabel.save(nibabel.Nifti1Image(complex_values, np.eye(4)), tmp_path / "c.nii")
    refused(tmp_path / "c.nii", "complex", capfd)
    sheared = np.eye(4)
    sheared[0, 1] = 0.5
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.int16), sheared), tmp_path / "s.nii")
    refused(tmp_path / "s.nii", "not at right angles", capfd)


@pytest.mark.parametrize("said", ["-1", "16", "4294967295", "nan", ""])
def test_dimensions_that_would_crash_the_library(tmp_path, said, capfd):
    for ending, line in ((".mha", b"NDims = 3"), (".nrrd", b"dimension: 3")):
        data = write_image(tmp_path / f"a{ending}", scan(), LPS).read_bytes()
        path = tmp_path / f"b{ending}"
        path.write_bytes(data.replace(line, line[:-1] + said.encode()))
        refused(path, "a number of dimensions that none has", capfd)


def test_geometry_that_is_no_number(tmp_path, capfd):
    image = nibabel.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4))
    image.header["srow_x"] = np.nan
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    (tmp_path / "a.nii").write_bytes(image.header.binaryblock + bytes(4) + image.get_fdata().astype(np.int16).tobytes())
    refused(tmp_path / "a.nii", "not at right angles", capfd)


def test_bombs_are_refused_by_their_headers(tmp_path, capfd):
    """Sizes of many GB, in files of a few bytes."""
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    image.header.set_data_shape((30000, 30000, 3000))
    with gzip.open(tmp_path / "a.nii.gz", "wb") as file:
        file.write(image.header.binaryblock + bytes(1000))
    refused(tmp_path / "a.nii.gz", "an image of 30000 x 30000 x 3000 voxels needs .* MB", capfd)
    lines = "NRRD0004\ntype: short\ndimension: 3\nsizes: 60000 60000 3000\nencoding: gzip\nendian: little\n\n"
    (tmp_path / "a.nrrd").write_bytes(lines.encode() + gzip.compress(bytes(1000)))
    refused(tmp_path / "a.nrrd", "needs .* MB", capfd)
    lines = (
        "ObjectType = Image\nNDims = 3\nDimSize = 60000 60000 3000\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "a.mha").write_text(lines)
    refused(tmp_path / "a.mha", "needs .* MB", capfd)
    refused(write_image(tmp_path / "b.nii.gz", scan(), LPS), "needs 1 MB of memory, the limit allows 0 MB", capfd, 1000)
