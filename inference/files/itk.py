"""NIfTI, NRRD and MetaImage, read by SimpleITK."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..cases.archive import regular_size
from ..errors import CaseError
from ..jobs import SCANS
from .extra import itk_name, silence, simpleitk
from .grid import Grid
from .image import Choice, Image, check_fits, known_modality
from .whole import HEADER_BYTES, Stream, compressed_part, stream_bytes

NIFTI = (".nii", ".nii.gz")
# What NRRD and MetaImage say of their dimensions, somewhere in what they begin with.
DIMENSIONS = re.compile(rb"^(?:dimension:|NDims\s*=)[ \t]*([^\r\n]*?)[ \t]*\r?$", re.MULTILINE)
METAIMAGE_MODALITY = "MET_MOD_"
NOT_AT_RIGHT_ANGLES = "its axes are not at right angles (a sheared or degenerate transform): resample it first"


def ending(path: Path) -> str:
    """That of `SCANS` which a name has; empty where none."""
    return next((known for known in SCANS if path.name.lower().endswith(known)), "")


def read_itk(path: Path, choice: Choice, max_bytes: int) -> Image:
    """Read a file of three dimensions, or of two, or one volume of a file of four.

    Args:
        max_bytes: memory that the image may take until it is segmented; held against the header.

    Raises:
        CaseError: not such a file, damaged, truncated or too large; more than one volume, and none chosen.
    """
    reader = read_header(path)
    size, channels = list(reader.GetSize()), reader.GetNumberOfComponents()
    value_bytes = channels * _bytes_of(reader.GetPixelID())
    check_fits(size, value_bytes, max_bytes)
    data_bytes = int(np.prod(size)) * value_bytes
    if len(size) == 4:
        _choose_volume(reader, size, choice.volume)
    try:
        with silence():
            image = reader.Execute()
            stored = simpleitk().GetArrayFromImage(image)
    except RuntimeError as error:
        raise CaseError("damaged or truncated") from error
    _check_whole(path, reader, stored, data_bytes)
    grid = _grid(image)
    if not np.isfinite([*grid.spacing, *grid.origin, *grid.direction.ravel()]).all():
        raise CaseError(NOT_AT_RIGHT_ANGLES)
    values = _channels(stored.reshape(*grid.size[::-1], -1), choice.volume, len(size) == 4)
    values, warnings = finite(values)
    modality, note = known_modality(choice.modality, _modality(reader), values)
    notes = [] if not note or values.ndim == 4 else [note]
    return Image(values, grid, modality, notes, warnings)


def finite(values: Array) -> tuple[Array, list[str]]:
    """Values without NaN and infinity, 0 in their place, and the warning that says so."""
    if values.dtype.kind != "f" or np.isfinite(values.sum(dtype=np.float64)):
        return values, []
    wrong = ~np.isfinite(values)
    if not (count := int(wrong.sum())):
        return values, []
    return np.where(wrong, values.dtype.type(0), values), [f"{count} voxels hold NaN or infinity, taken for 0"]


def read_header(path: Path) -> Any:
    """SimpleITK's reader of a file, which knows its header.

    Raises:
        CaseError: not such a file, or its header is damaged.
    """
    try:
        regular_size(path)
        _check_dimensions(path)
    except OSError as error:
        raise CaseError(f"cannot be read ({error.strerror or error})") from error
    reader = simpleitk().ImageFileReader()
    reader.SetFileName(itk_name(path))
    try:
        with silence():
            reader.ReadImageInformation()
    except RuntimeError as error:
        if "irection" in str(error):  # ITK: "direction cosines", "Bad direction"
            raise CaseError(NOT_AT_RIGHT_ANGLES) from error
        raise CaseError(f"not a readable {ending(path)} file: damaged, truncated or of another format") from error
    if reader.GetDimension() not in (2, 3, 4):
        raise CaseError(f"has {reader.GetDimension()} dimensions, expected 3 (or 2, or 4 with --volume)")
    return reader


def _check_dimensions(path: Path) -> None:
    """Raise CaseError where a header says that it has more dimensions than any image has: ITK would crash on them."""
    if ending(path) in NIFTI:
        return
    with open(path, "rb") as file:
        header = file.read(HEADER_BYTES)
    if not all(said in (b"1", b"2", b"3", b"4", b"5") for said in DIMENSIONS.findall(header)):
        raise CaseError("not an image: a number of dimensions that none has")


def _bytes_of(pixel_id: int) -> int:
    """Of one component of a voxel."""
    name = simpleitk().GetPixelIDValueAsString(pixel_id)
    if "complex" in name:
        raise CaseError("holds complex numbers: save their magnitude as an image of its own")
    bits = "".join(letter for letter in name if letter.isdigit())
    return int(bits) // 8 if bits else 8


def _check_whole(path: Path, reader: Any, stored: Array, data_bytes: int) -> None:
    """Raise CaseError where a file ends early or is damaged, and ITK says nothing of it.

    Args:
        stored: what was read.
        data_bytes: what all voxels of the file take as they are read.
    """
    if ending(path) not in NIFTI:
        if stream := compressed_part(path):
            stream_bytes(stream, 0, stored, data_bytes)
        return
    if reader.HasMetaDataKey("bitpix"):  # values with a slope are stored in another type than they are read in
        data_bytes = int(np.prod(reader.GetSize())) * int(reader.GetMetaData("bitpix")) // 8
    header_bytes = int(float(reader.GetMetaData("vox_offset"))) if reader.HasMetaDataKey("vox_offset") else 0
    needed = header_bytes + data_bytes
    if ending(path) == ".nii":
        held = path.stat().st_size
    else:
        held = stream_bytes(Stream(path, 0), header_bytes, stored, needed)
    if held < needed:
        raise CaseError(f"truncated: {held} bytes of {needed}")


def _choose_volume(reader: Any, size: list[int], volume: int | None) -> None:
    """Have a volume of a file of four dimensions read."""
    count = size[3]
    volume = _checked_volume(volume, count)
    reader.SetExtractSize([*size[:3], 0])
    reader.SetExtractIndex([0, 0, 0, volume])


def _checked_volume(volume: int | None, count: int) -> int:
    if volume is None and count > 1:
        raise CaseError(f"holds {count} volumes: choose one with --volume 0 to --volume {count - 1}")
    if (volume or 0) >= count:
        raise CaseError(f"holds {count} volumes, the last is --volume {count - 1}")
    return volume or 0


def _channels(stored: Array, volume: int | None, is_chosen: bool) -> Array:
    """Gray (Z, Y, X), or colours (Z, Y, X, 3), of what is stored (Z, Y, X, C)."""
    channels = stored.shape[3]
    if channels == 1:
        return stored[..., 0]
    if channels in (3, 4) and stored.dtype == np.uint8 and not volume:
        return stored[..., :3]
    if is_chosen:
        raise CaseError(f"holds {channels} values per voxel in each of its volumes, expected one")
    return stored[..., _checked_volume(volume, channels)]


def _grid(image: Any) -> Grid:
    """The grid of an image of two or three dimensions."""
    dimensions = image.GetDimension()
    size, spacing, origin = (
        (*given(), *rest)[:3]
        for given, rest in ((image.GetSize, (1,)), (image.GetSpacing, (1.0,)), (image.GetOrigin, (0.0,)))
    )
    direction = np.eye(3)
    direction[:dimensions, :dimensions] = np.array(image.GetDirection()).reshape(dimensions, dimensions)
    return Grid(size, spacing, origin, direction, dimensions)


def _modality(reader: Any) -> str:
    """What MetaImage says of the modality; other formats have no place for it."""
    said = str(reader.GetMetaData("Modality")) if reader.HasMetaDataKey("Modality") else ""
    modality = said.removeprefix(METAIMAGE_MODALITY)
    return "" if modality in ("UNKNOWN", "OTHER") or not modality.isalnum() else modality
