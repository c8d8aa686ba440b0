"""Small DICOM series and multi-frame files, of a patient whose name must not get anywhere."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

PATIENT = "Nobody^Secret"


def write_series(folder: Path, values: np.ndarray, lps: np.ndarray, skip: int | None = None, **more: object) -> Path:
    """A CT series of Hounsfield units (x, y, z), z from slice to slice; file names are in no order.

    Args:
        lps: (4, 4) from indices to patient coordinates.
        skip: a slice that is left out.
        more: attributes of all slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    for k in range(values.shape[2]):
        if k == skip:
            continue
        item = _image(values[:, :, k], lps, study, series, frame)
        item.ImagePositionPatient = _numbers(lps[:3, 3] + k * lps[:3, 2])
        item.InstanceNumber = k + 1
        for name, value in more.items():
            setattr(item, name, value)
        item.save_as(folder / f"{(7 * k) % 1009:04}.dcm", enforce_file_format=True)
    return folder


def write_multi_frame(path: Path, values: np.ndarray, lps: np.ndarray, positions: bool = True) -> Path:
    """The same in one file, frames from the last slice to the first; with or without their positions."""
    item = _image(values[:, :, 0], lps, generate_uid(), generate_uid(), generate_uid())
    frames = range(values.shape[2])[::-1]
    item.NumberOfFrames = len(frames)
    item.PixelData = b"".join(_pixels(values[:, :, k]) for k in frames)
    if positions:
        item.file_meta.MediaStorageSOPClassUID = item.SOPClassUID = EnhancedCTImageStorage
        measures, plane, rescale = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        measures.PixelSpacing, measures.SliceThickness = item.PixelSpacing, item.SliceThickness
        plane.ImageOrientationPatient = item.ImageOrientationPatient
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, -1024, "HU"
        shared = pydicom.Dataset()
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
        shared.PixelValueTransformationSequence = [rescale]
        item.SharedFunctionalGroupsSequence = [shared]
        item.PerFrameFunctionalGroupsSequence = [_frame(lps, k) for k in frames]
        del item.ImageOrientationPatient, item.RescaleSlope, item.RescaleIntercept, item.PixelSpacing
    else:
        del item.ImageOrientationPatient
    item.save_as(path, enforce_file_format=True)
    return path


def _frame(lps: np.ndarray, k: int) -> pydicom.Dataset:
    position, frame = pydicom.Dataset(), pydicom.Dataset()
    position.ImagePositionPatient = _numbers(lps[:3, 3] + k * lps[:3, 2])
    frame.PlanePositionSequence = [position]
    return frame


def _image(values: np.ndarray, lps: np.ndarray, study: str, series: str, frame: str) -> pydicom.Dataset:
    """A slice (x, y) with all that DICOM wants of it but its position."""
    item = pydicom.Dataset()
    item.file_meta = pydicom.dataset.FileMetaDataset()
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item.file_meta.MediaStorageSOPClassUID = item.SOPClassUID = CTImageStorage
    item.file_meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID = generate_uid()
    item.PatientName, item.PatientID, item.PatientBirthDate, item.PatientSex = PATIENT, PATIENT, "19700101", "O"
    item.StudyInstanceUID, item.SeriesInstanceUID, item.FrameOfReferenceUID = study, series, frame
    item.StudyDate, item.StudyTime, item.AccessionNumber, item.StudyID = "20200101", "120000", "1", "1"
    item.ReferringPhysicianName, item.Modality, item.SeriesNumber, item.Manufacturer = "", "CT", 3, "nobody"
    item.PositionReferenceIndicator, item.ImageType = "", ["ORIGINAL", "PRIMARY", "AXIAL"]
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    item.Rows, item.Columns = values.shape[1], values.shape[0]
    item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
    item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 16, 16, 15, 0
    item.RescaleSlope, item.RescaleIntercept = 1, -1024
    item.PixelSpacing, item.SliceThickness = _numbers(spacing[[1, 0]]), float(spacing[2])
    item.ImageOrientationPatient = _numbers((lps[:3, :2] / spacing[:2]).T.ravel())
    item.PixelData = _pixels(values)
    return item


def _pixels(values: np.ndarray) -> bytes:
    return (values.T.astype(np.int32) + 1024).astype(np.uint16).tobytes()


def _numbers(values: np.ndarray) -> list[float]:
    """As many digits as DICOM's decimal strings hold."""
    return [float(f"{value:.10g}") for value in values]
