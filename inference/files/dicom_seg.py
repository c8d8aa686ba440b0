"""DICOM SEG, written by highdicom: a segment per object, on the slices that the image was read from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import __version__
from ..arrays import Array
from ..atomic import write_atomically
from ..errors import CaseError
from .dicom import read_headers
from .extra import highdicom, pydicom, silence
from .prompts import Object

ENDINGS = (".seg.dcm", ".dcm")
LONGEST_LABEL = 64  # characters of the name of a segment


def write_dicom_seg(path: Path, labels: Array, slices: Sequence[Path], objects: Sequence[Object]) -> None:
    """Write a binary segmentation of a DICOM image; patient and study are those of the image, as the standard wants.

    DICOM numbers segments from 1 on without gaps; a segment's tracking identifier says which label it has elsewhere.
    Objects of one label are one segment.

    Args:
        labels: (Z, Y, X), Z along `slices`, or along the frames of the only file.

    Raises:
        CaseError: the image lacks what DICOM wants to know of it.
        OSError: the folder is not writable, or the disk is full.
    """
    library = highdicom()
    items = read_headers(slices)
    known = {item.label: item for item in objects}
    masks = np.stack([labels == label for label in known], axis=-1).astype(np.uint8)
    try:
        with silence():
            segmentation = library.seg.Segmentation(
                source_images=items,
                pixel_array=masks,
                segmentation_type=library.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=[_describe(i, item) for i, item in enumerate(known.values(), 1)],
                series_instance_uid=library.UID(),
                series_number=int(items[0].get("SeriesNumber") or 0) + 1000,
                sop_instance_uid=library.UID(),
                instance_number=1,
                manufacturer="QMedSAM contributors",
                manufacturer_model_name="QMedSAM",
                software_versions=__version__,
                device_serial_number="0",
                series_description="QMedSAM",
                omit_empty_frames=bool(masks.any()),
            )
    except MemoryError:
        raise
    except Exception as error:  # highdicom raises what comes of attributes that are absent or odd, and may quote them
        reason = f"{type(error).__name__}; write .nii.gz, .nrrd or .mha"
        raise CaseError(f"lacks what a DICOM SEG says of its image ({reason})") from None
    write_atomically(path, lambda file: segmentation.save_as(file))


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
