"""Which images there are to segment: a file, a DICOM series, or all of a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import SetupError
from ..jobs import PICTURES
from .dicom import DIRECTORY, dicom_files, is_dicom
from .itk import ending

PICTURE, ITK, DICOM = "picture", "itk", "dicom"
KNOWN = ".nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, DICOM, PNG, JPEG, TIFF, BMP"


class Input(NamedTuple):
    """One image: a file, or the folder of a DICOM series."""

    path: Path
    kind: str

    @property
    def stem(self) -> str:
        """The name of its file without the ending, or of its folder."""
        name = self.path.name
        if self.path.is_dir():
            return name
        known = ending(self.path) or self.path.suffix
        return name[: len(name) - len(known)]

    def files(self) -> list[Path]:
        """All files that it is read from."""
        return dicom_files(self.path) if self.path.is_dir() else [self.path]


def find_inputs(path: Path) -> tuple[list[Input], bool]:
    """The images at a path, by name, and whether it is a folder of many, each a case of its own.

    Raises:
        SetupError: there is none, or the path cannot be read.
    """
    try:
        if not path.is_dir():
            if not path.exists():
                raise SetupError(f"{path}: no such file or folder")
            return [Input(path, _kind(path))], False
        if dicom_files(path):
            return [Input(path, DICOM)], False
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        found = [Input(entry, kind) for entry in entries if (kind := _kind_in_folder(entry))]
    except OSError as error:
        raise SetupError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not found:
        raise SetupError(f"{path}: no images in it, nor a DICOM series in a folder of it; known are {KNOWN}")
    return found, True


def _kind(path: Path) -> str:
    """Of a file that the user has named: where its ending is not known, what it begins with decides.

    Raises:
        SetupError: neither is known.
    """
    if kind := _kind_of_file(path):
        return kind
    from ..cases.picture import is_picture

    if not is_picture(path):
        raise SetupError(f"{path}: not an image of a kind that is known: {KNOWN}")
    return PICTURE


def _kind_in_folder(path: Path) -> str:
    """Of what lies in a folder; empty where it is no image."""
    if path.is_dir():
        return DICOM if dicom_files(path) else ""
    return _kind_of_file(path) if path.name != DIRECTORY else ""


def _kind_of_file(path: Path) -> str:
    """By its ending, or as DICOM says of itself; empty where it is neither."""
    if ending(path):
        return ITK
    if path.suffix.lower() in PICTURES:
        return PICTURE
    return DICOM if path.suffix.lower() == ".dcm" or is_dicom(path) else ""


def all_files(inputs: Sequence[Input]) -> list[Path]:
    """All files that are read."""
    return [file for some in inputs for file in some.files()]
