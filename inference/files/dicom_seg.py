"""DICOM SEG, written by highdicom: a segment per object, on the slices that the image was read from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..arrays import Array
from ..atomic import write_atomically
from ..errors import CaseError, does_not_fit
from .dicom import read_headers
from .extra import highdicom, pydicom, silence
from .image import GREY_AND_LABELS, WRITING
from .prompts import Object, one_per_label

ENDINGS = (".seg.dcm", ".dcm")
LONGEST_LABEL = 64  # characters of the name of a segment
# What a SEG repeats of its image, which may be empty, and many programs leave out; highdicom wants it to be there.
MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex",
    "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
)  # fmt: skip
# Bytes of memory for each byte of the file, which has a bit for each pixel of a frame, a slice of an object.
COPIES = 3.1


def check_seg_fits(objects: Sequence[Object], size: Sequence[int], max_bytes: int) -> None:
    """Hold a segmentation of objects that fill their boxes against the memory, before anything is segmented.

    Args:
        size: of the image, x, y, z.

    Raises:
        CaseError: it needs more than `max_bytes`.
    """
    pixels, depth = size[0] * size[1], size[2]
    ends = np.nan_to_num([item.box[[2, 5]] for item in objects]).clip(0, depth - 1)
    frames = int((ends[:, 1] - ends[:, 0] + 1).clip(0).sum())
    needed = pixels * depth * (GREY_AND_LABELS + WRITING) + int(COPIES * frames * pixels / 8)
    if needed > max_bytes:
        raise does_not_fit(
            f"a DICOM SEG of {len(objects)} objects on {frames} slices (.nii.gz takes less)", needed, max_bytes
        )


def write_dicom_seg(
    path: Path, labels: Array, slices: Sequence[Path], thickness: float, objects: Sequence[Object]
) -> None:
    """Write a binary segmentation of a DICOM image; patient and study are those of the image, as the standard wants.

    DICOM numbers segments from 1 on without gaps; a segment's tracking identifier says which label it has elsewhere.
    Objects of one label are one segment.

    Args:
        labels: (Z, Y, X), Z along `slices`, or along the frames of the only file.
        thickness: mm from slice to slice, where the image does not say how thick they are.

    Raises:
        CaseError: the image lacks what DICOM wants to know of it.
        OSError: the folder is not writable, or the disk is full.
    """
    library = highdicom()
    items = [_complete(item, thickness) for item in read_headers(slices)]
    described = one_per_label(objects)
    numbers = np.zeros(max(item.label for item in described) + 1, np.min_scalar_type(len(described)))
    numbers[[item.label for item in described]] = np.arange(1, len(described) + 1)
    segments = numbers[labels]
    try:
        with silence():
            segmentation = library.seg.Segmentation(
                source_images=items,
                pixel_array=segments,
                segmentation_type=library.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=[_describe(i, item) for i, item in enumerate(described, 1)],
                series_instance_uid=library.UID(),
                series_number=int(items[0].get("SeriesNumber") or 0) + 1000,
                sop_instance_uid=library.UID(),
                instance_number=1,
                manufacturer="QMedSAM contributors",
                manufacturer_model_name="QMedSAM",
                software_versions=__version__,
                device_serial_number="0",
                series_description="QMedSAM",
                omit_empty_frames=bool(segments.any()),
            )
    except MemoryError:
        raise
    except Exception as error:  # highdicom raises what comes of attributes that are absent or odd, and may quote them
        lacking = error.name if isinstance(error, AttributeError) else type(error).__name__
        raise CaseError(f"lacks what a DICOM SEG says of its image ({lacking}): write .nii.gz, .nrrd or .mha") from None
    write_atomically(path, lambda file: segmentation.save_as(file))


def _complete(item: Any, thickness: float) -> Any:
    """A header with what may be empty, and a thickness of slices."""
    for name in MAY_BE_EMPTY:
        if name not in item:
            setattr(item, name, None)
    if not item.get("SliceThickness"):
        item.SliceThickness = thickness
    return item


def _describe(number: int, item: Object) -> object:
    """A segment, as an anatomical structure: what kind of one only the user knows."""
    library, codes = highdicom(), pydicom().sr.codedict.codes
    return library.seg.SegmentDescription(
        segment_number=number,
        segment_label=item.title[:LONGEST_LABEL],
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.AnatomicalStructure,
        algorithm_type=library.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=library.AlgorithmIdentificationSequence(
            name="QMedSAM", version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
        tracking_id=f"label {item.label}",
        tracking_uid=library.UID(),
    )
