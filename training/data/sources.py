"""Reading what people have: images with label maps, NIfTI volumes, DICOM series."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pydicom
from nibabel.orientations import aff2axcodes, apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from pydicom.errors import InvalidDicomError

from inference.cases.intensity import rescale_percentiles
from inference.cases.npz import read_arrays
from inference.errors import CaseError
from training.data.labelled_case import LARGEST_CASE_BYTES

# A display has x towards the patient's left, y towards the back, z towards the head (as DICOM counts).
TOWARDS = {"L": "L", "R": "L", "P": "P", "A": "P", "S": "S", "I": "S"}
AFFINE_TOLERANCE = 0.05  # of a voxel: headers written by different tools differ in the last digits
SLICE_POSITION_TOLERANCE = 0.05  # of the slice distance


@dataclass(frozen=True)
class Volume:
    """Voxels in the order x, y, z as stored, and the affine from voxel indices to patient coordinates (RAS, mm)."""

    voxels: np.ndarray
    affine: np.ndarray


def read_image(path: Path) -> np.ndarray:
    """An 8-bit or 16-bit image file as uint8 (H, W), or (H, W, 3) RGB where the channels differ; alpha is dropped.

    16-bit intensities are rescaled by the 0.5 to 99.5 percentile of the non-zero pixels, 8-bit ones are kept.

    Raises:
        CaseError: not an image that OpenCV reads.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise CaseError("not a readable image")
    if image.dtype != np.uint8:
        image = rescale_percentiles(image)
    if image.ndim == 2:
        return image
    rgb = image[:, :, 2::-1]
    is_gray = np.array_equal(rgb[:, :, 0], rgb[:, :, 1]) and np.array_equal(rgb[:, :, 0], rgb[:, :, 2])
    return np.ascontiguousarray(rgb[:, :, 0] if is_gray else rgb)


def read_label_image(path: Path) -> np.ndarray:
    """A label map stored as a one-channel image, as it is: (H, W).

    Raises:
        CaseError: unreadable, lossy (JPEG), or in colours.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise CaseError("JPEG changes label numbers: store label maps as PNG")
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None:
        raise CaseError("not a readable image")
    if labels.ndim == 3 and (labels[:, :, :3] == labels[:, :, :1]).all():
        labels = labels[:, :, 0]
    if labels.ndim != 2:
        raise CaseError("label map in colours: one channel with one number per object is needed")
    return labels


def read_nifti(path: Path) -> Volume:
    """A 3D NIfTI file; intensities with the header's slope and intercept applied.

    Raises:
        CaseError: unreadable, or not three-dimensional.
    """
    try:
        image = nibabel.load(path)
        voxels = np.asanyarray(image.dataobj)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise CaseError(f"not a readable NIfTI file ({error})") from error
    if voxels.ndim == 4 and voxels.shape[3] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim != 3:
        raise CaseError(f"has shape {voxels.shape}, expected three dimensions")
    return Volume(voxels, image.affine)


def read_dicom_series(folder: Path) -> Volume:
    """The slices of one DICOM series, sorted by position along the slice normal, rescale slope and intercept applied.

    Raises:
        CaseError: no slices, more than one series, slices missing or of different sizes.
    """
    slices = []
    for path in sorted(entry for entry in folder.iterdir() if entry.is_file()):
        try:
            dataset = pydicom.dcmread(path)
        except InvalidDicomError:
            continue
        if "PixelData" in dataset:
            slices.append(dataset)
    if not slices:
        raise CaseError("no DICOM slices in this folder")
    if len({str(item.get("SeriesInstanceUID")) for item in slices}) > 1:
        raise CaseError("more than one DICOM series in this folder: one folder per series is needed")
    try:
        return _stack_slices(slices)
    except AttributeError as error:
        raise CaseError(f"a slice lacks a DICOM attribute ({error})") from error


def _stack_slices(slices: list[pydicom.Dataset]) -> Volume:
    if len({(item.Rows, item.Columns) for item in slices}) > 1:
        raise CaseError("slices differ in size")
    along_row, along_column = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(along_row, along_column)
    slices.sort(key=lambda item: float(np.dot(normal, np.array(item.ImagePositionPatient, float))))
    positions = np.array([np.array(item.ImagePositionPatient, float) for item in slices])
    depth = positions @ normal
    steps = np.diff(depth)
    if len(steps) and (steps.min() <= 0 or np.ptp(steps) > SLICE_POSITION_TOLERANCE * np.median(steps)):
        raise CaseError("slice positions are not evenly spaced: slices are missing or doubled")
    row_spacing, column_spacing = map(float, slices[0].PixelSpacing)
    step = float(steps.mean()) if len(steps) else float(slices[0].get("SliceThickness", 1))

    voxels = np.stack([_rescaled_pixels(item).T for item in slices], axis=2)  # x, y, z
    affine = np.eye(4)
    affine[:3] = np.column_stack([along_row * column_spacing, along_column * row_spacing, normal * step, positions[0]])
    affine[:2] *= -1  # DICOM counts x to the left and y to the back, NIfTI to the right and to the front
    return Volume(voxels, affine)


def _rescaled_pixels(item: pydicom.Dataset) -> np.ndarray:
    """(rows, columns) float32 in the modality's unit (Hounsfield units in CT)."""
    slope, intercept = float(item.get("RescaleSlope", 1)), float(item.get("RescaleIntercept", 0))
    return item.pixel_array.astype(np.float32) * slope + intercept


def read_label_volume(path: Path, image: Volume) -> Volume:
    """Labels of a volume: NIfTI, a folder with a DICOM series, or npy/npz (`gts`) in the image's stored z, y, x order.

    Raises:
        CaseError: unreadable, or of an unknown kind.
    """
    if path.is_dir():
        return read_dicom_series(path)
    if path.name.endswith((".nii", ".nii.gz")):
        return read_nifti(path)
    if path.suffix == ".npz":
        arrays = read_arrays(path, ("gts",), LARGEST_CASE_BYTES)
        if "gts" not in arrays:
            raise CaseError("no array 'gts'")
        return Volume(arrays["gts"].T, image.affine)
    if path.suffix == ".npy":
        return Volume(np.load(path, allow_pickle=False).T, image.affine)
    raise CaseError("labels must be .nii, .nii.gz, .npy, .npz or a folder of DICOM slices")


def on_one_grid(image: Volume, labels: Volume) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bring image and labels to the same voxel order, the image's slice axis first.

    The image keeps its stored axes, so that slices stay in the plane they were acquired in; axes are only flipped to
    run towards the patient's left, back and head. The labels follow, whatever order they are stored in.

    Returns:
        image (D, H, W), labels (D, H, W), spacing float32 (3,) z, y, x in mm.

    Raises:
        CaseError: the two do not cover the same voxels.
    """
    stored = aff2axcodes(image.affine)
    if None in stored:
        raise CaseError("the image's affine is degenerate: an axis has no direction")
    codes = [TOWARDS[code] for code in stored]
    image, labels = _reoriented(image, codes), _reoriented(labels, codes)
    if image.voxels.shape != labels.voxels.shape:
        raise CaseError(f"labels have shape {labels.voxels.shape}, the image {image.voxels.shape} (x, y, z)")
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    corners = np.array([[0, 0, 0, 1], [*(side - 1 for side in image.voxels.shape), 1]], float).T
    apart = np.abs((image.affine - labels.affine) @ corners)[:3].max()
    if apart > AFFINE_TOLERANCE * spacing.min():
        raise CaseError(f"labels lie up to {apart:.2f} mm beside the image (different origin, spacing or direction)")
    return image.voxels.T, labels.voxels.T, spacing[::-1].astype(np.float32)


def _reoriented(volume: Volume, codes: list[str]) -> Volume:
    change = ornt_transform(io_orientation(volume.affine), axcodes2ornt(codes))
    affine = volume.affine @ nibabel.orientations.inv_ornt_aff(change, volume.voxels.shape)
    return Volume(apply_orientation(volume.voxels, change), affine)
