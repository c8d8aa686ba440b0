"""Reading what people have: images with label maps, and volumes by the reader that the runtime has too."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from inference.cases.intensity import rescale_percentiles
from inference.cases.npz import read_arrays
from inference.errors import CaseError
from inference.files.dicom import read_dicom
from inference.files.image import Choice, Image
from inference.files.itk import NIFTI, ending, read_itk
from inference.files.label_map import check_same_grid
from inference.files.layout import layout_of
from inference.memory_limit import memory_limit
from training.data.labelled_case import LARGEST_CASE_BYTES

VOLUMES = Choice(modality="OT")  # what a volume is the command line says


class OnOneGrid(NamedTuple):
    """A volume and its labels as a case has them.

    Attributes:
        values: (D, H, W), in the unit of the modality.
        labels: (D, H, W).
        spacing: (3,) float32 z, y, x in mm.
    """

    values: np.ndarray
    labels: np.ndarray
    spacing: np.ndarray


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


def read_volume(path: Path) -> Image:
    """NIfTI, NRRD or MetaImage, or the DICOM series of a folder; intensities with slope and intercept applied.

    Raises:
        CaseError: as `inference.files.itk.read_itk` and `inference.files.dicom.read_dicom`; in colours.
    """
    read = read_dicom if path.is_dir() else read_itk
    image = read(path, VOLUMES, memory_limit())
    if image.is_colour:
        raise CaseError("a volume in colours, expected one value per voxel")
    return image


def read_labels(path: Path, image: Image) -> OnOneGrid:
    """The labels of a volume, in the order of its slices, rows and columns (see `inference.files.layout`).

    Args:
        path: a file of the formats of volumes, a folder with a DICOM series, or npy/npz (`gts`) in the order z, y, x in
            which the image is stored.

    Raises:
        CaseError: unreadable, of an unknown kind, or the two do not cover the same voxels.
    """
    layout = layout_of(image.grid)
    if path.is_dir() or ending(path):
        labels = read_volume(path)
        check_same_grid(labels.grid, image.grid)
        arranged = layout_of(labels.grid).arrange(labels.values)
    else:
        stored = _stored_labels(path)
        if stored.shape != image.values.shape:
            raise CaseError(f"labels have shape {stored.shape}, the image {image.values.shape} (z, y, x)")
        arranged = layout.arrange(stored)
    spacing = np.array([image.grid.spacing[axis] for axis in layout.order], np.float32)
    return OnOneGrid(layout.arrange(image.values), arranged, spacing)


def _stored_labels(path: Path) -> np.ndarray:
    if path.suffix == ".npz":
        arrays = read_arrays(path, ("gts",), LARGEST_CASE_BYTES)
        if "gts" not in arrays:
            raise CaseError("no array 'gts'")
        return arrays["gts"]
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    raise CaseError(f"labels must be {', '.join(NIFTI)}, .nrrd, .mha, .npy, .npz or a folder of DICOM slices")
