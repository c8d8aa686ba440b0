"""DICOM: a series of slices in a folder, or one file of one or many frames. Headers by pydicom, voxels by SimpleITK."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, Float64Array
from ..errors import CaseError, SetupError
from .coded_size import coded_size
from .extra import itk_name, pydicom, silence, simpleitk
from .grid import Grid
from .image import Choice, Image, check_fits, known_modality
from .itk import finite

MAGIC, MAGIC_AT = b"DICM", 128
DEFLATED = "1.2.840.10008.1.2.1.99"
# Of the distance between slices.
POSITION_TOLERANCE = 0.05
INVERTED = "MONOCHROME1"
HALVED = "YBR_FULL_422"  # two pixels share their colours
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", "PALETTE COLOR")
NO_IMAGES = ("SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "DOC", "ECG")
DIRECTORY = "DICOMDIR"  # lists the files of a disc
# Where an attribute is said of a value as a floating-point number, or where it is encrypted.
FLOAT_DATA, ENCRYPTED = ("FloatPixelData", "DoubleFloatPixelData"), "EncryptedAttributesSequence"


class Header(NamedTuple):
    """One file's: what pydicom reads before the pixels, and how many bytes follow."""

    path: Path
    item: Any
    data_bytes: int


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM."""
    try:
        with open(path, "rb") as file:
            file.seek(MAGIC_AT)
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder, by name, but for its directory; not of the folders in it."""
    files = (path for path in folder.iterdir() if path.is_file() and path.name != DIRECTORY)
    return sorted(filter(is_dicom, files))


def read_dicom(path: Path, choice: Choice, max_bytes: int) -> Image:
    """Read the series of a folder, or a file of one or several frames.

    Args:
        max_bytes: memory that the image may take until it is segmented; held against the headers.

    Raises:
        CaseError: no images; several series, and none chosen; slices missing, doubled, of different sizes or senses;
            encrypted, truncated, damaged or too large.
    """
    with _only_our_words():
        return _read(path, choice, max_bytes)


@contextmanager
def _only_our_words() -> Iterator[None]:
    """pydicom parses values when they are asked for; what it then warns of or raises may quote a patient's data."""
    try:
        with silence():
            yield
    except (CaseError, SetupError, MemoryError):
        raise
    except OSError as error:
        raise CaseError(f"cannot be read ({error.strerror or 'damaged'})") from error
    except Exception as error:
        raise CaseError(f"a damaged DICOM file ({type(error).__name__} in its attributes)") from None


def _read(path: Path, choice: Choice, max_bytes: int) -> Image:
    if not path.is_dir() and not is_dicom(path):
        raise CaseError("not a DICOM file, or encrypted as a whole")
    headers = _chosen_series(_image_headers(dicom_files(path) if path.is_dir() else [path]), choice.series)
    _check_alike(headers)
    item = headers[0].item
    frames = int(item.get("NumberOfFrames", 1) or 1)
    if len(headers) > 1 and frames > 1:
        raise CaseError(f"{len(headers)} files of several frames each: give them one at a time")
    if frames > 1 and "TotalPixelMatrixRows" in item:
        raise CaseError("a whole slide in tiles: save the part of interest as a picture")
    depth = max(frames, len(headers))
    is_colour = item.get("PhotometricInterpretation", "") in COLOURS
    check_fits((item.Columns, item.Rows, depth), _value_bytes(headers, is_colour), max_bytes)
    headers = _ordered(headers)
    for header in headers:
        _check_coded_size(header)
    stored, image = _pixels(headers)
    grid, frame_notes = _grid(image, item, frames)
    values, warnings = finite(_values(stored, item, is_colour))
    modality, _ = known_modality(choice.modality, str(item.get("Modality", "")) or "OT", values)
    paths = [header.path for header in headers]
    has_geometry = _frame_groups(item) is not None
    if not has_geometry and "ImagePositionPatient" in item:
        has_geometry = "PixelSpacing" in item and (frames == 1 or "SpacingBetweenSlices" in item)
        if "PixelSpacing" not in item:
            warnings.append("says nothing of how far apart pixels are: taken for 1 mm")
    return Image(values, grid, modality, frame_notes, warnings, paths, has_geometry)


def read_headers(paths: Sequence[Path]) -> list[Any]:
    """The headers of files, without their pixels.

    Raises:
        CaseError: they cannot be read.
    """
    with _only_our_words():
        return [_header(path).item for path in paths]


def _header(path: Path) -> Header:
    """The header of a file.

    Raises:
        CaseError: it is damaged, or one that may be larger than its file.
    """
    library = pydicom()
    with _only_our_words(), open(path, "rb") as file:
        meta = library.filereader.read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") == DEFLATED:
            raise CaseError("is deflated as a whole: write it anew as explicit little endian (dcmconv +te)")
        item = library.dcmread(file, stop_before_pixels=True)
        return Header(path, item, path.stat().st_size - file.tell())


def _image_headers(paths: Sequence[Path]) -> list[Header]:
    """Those that are of images, each checked for what keeps it from being read."""
    headers = [_header(path) if len(paths) == 1 else _named_header(path) for path in paths]
    images = [header for header in headers if _is_image(header.item)]
    if not images:
        kinds = sorted({_kind(header.item) for header in headers})
        raise CaseError(f"holds no image ({', '.join(kinds)})" if kinds else "holds no DICOM files")
    for header in images:
        _check_complete(header)
    return images


def _named_header(path: Path) -> Header:
    """The header of a file among others."""
    try:
        return _header(path)
    except CaseError as error:
        raise CaseError(f"{path.name}: {error}") from error


def _kind(item: Any) -> str:
    """What a file is, by the name that DICOM has for it."""
    return str(getattr(item.file_meta.get("MediaStorageSOPClassUID"), "name", "unknown"))


def _is_image(item: Any) -> bool:
    if ENCRYPTED in item and "Rows" not in item:
        raise CaseError("its image attributes are encrypted: decrypt it first")
    if "Rows" not in item and "Image" in _kind(
        item
    ):  # other objects may lie beside images, but none of these must get lost
        raise CaseError("a damaged DICOM file: an image that ends before its size")
    return "Rows" in item and "Columns" in item and item.get("Modality") not in NO_IMAGES


def _check_complete(header: Header) -> None:
    """Raise CaseError where fewer bytes follow the header than its pixels take; compressed ones show when decoded."""
    item = header.item
    try:
        compressed = item.file_meta.TransferSyntaxUID.is_compressed
        values = item.Rows * item.Columns * item.SamplesPerPixel * int(item.get("NumberOfFrames", 1) or 1)
        if item.get("PhotometricInterpretation") == HALVED:
            values = values * 2 // 3
        needed = values * item.BitsAllocated // 8
    except (AttributeError, ValueError, TypeError) as error:
        raise CaseError("a DICOM file without the attributes of an image") from error
    if not compressed and header.data_bytes < needed:
        raise CaseError(f"truncated: {max(0, header.data_bytes)} bytes of {needed} of its pixels")


def _check_coded_size(header: Header) -> None:
    """Raise CaseError where compressed pixels are of another size than the file says: no memory is planned for it."""
    library, item = pydicom(), header.item
    if not item.file_meta.TransferSyntaxUID.is_compressed:
        return
    data = library.dcmread(header.path, specific_tags=["PixelData"]).get("PixelData", b"")
    sizes = {coded_size(part) for part in library.encaps.generate_fragments(data)}
    if sizes - {None, (item.Columns, item.Rows)}:
        raise CaseError("its compressed pixels are of another size than it says")


def _chosen_series(headers: Sequence[Header], chosen: int | None) -> list[Header]:
    """The headers of one series."""
    series: dict[str, list[Header]] = {}
    for header in headers:
        series.setdefault(str(header.item.get("SeriesInstanceUID", "")), []).append(header)
    listed = sorted(series.values(), key=lambda some: (int(some[0].item.get("SeriesNumber") or 0), some[0].path.name))
    if chosen is None and len(listed) > 1:
        named = "; ".join(f"{i} is {_named(some)}" for i, some in enumerate(listed, 1))
        raise CaseError(f"holds {len(listed)} series, choose one with --series: {named}")
    if (chosen or 1) > len(listed):
        raise CaseError(f"holds {len(listed)} series, the last is --series {len(listed)}")
    return listed[(chosen or 1) - 1]


def _named(series: Sequence[Header]) -> str:
    """Nothing that may say who the patient is."""
    item = series[0].item
    files = "file" if len(series) == 1 else "files"
    modality = str(item.get("Modality", ""))
    return f"{modality if modality.isalnum() else '?'} {item.Columns} x {item.Rows}, {len(series)} {files}"


def _check_alike(headers: Sequence[Header]) -> None:
    for what, names in (
        ("size", ("Rows", "Columns")),
        ("kind of pixels", ("SamplesPerPixel", "PhotometricInterpretation")),
        ("distance of pixels", ("PixelSpacing",)),
    ):
        if len({tuple(str(header.item.get(name)) for name in names) for header in headers}) > 1:
            raise CaseError(f"slices differ in {what}: more than one scan in a series; keep one of them in the folder")


def _ordered(headers: list[Header]) -> list[Header]:
    """Slices in the order of their positions, along the normal of their plane.

    Raises:
        CaseError: they have no positions, are not parallel, or not evenly spaced.
    """
    if len(headers) == 1:
        return headers
    try:
        planes = np.array([header.item.ImageOrientationPatient for header in headers], np.float64)
        positions = np.array([header.item.ImagePositionPatient for header in headers], np.float64)
    except (AttributeError, ValueError, TypeError) as error:
        raise CaseError(
            f"{len(headers)} images that say nothing of their positions: give them one at a time"
        ) from error
    if np.abs(planes - planes[0]).max() > 1e-3:
        raise CaseError("slices are not parallel (a localizer among them?): keep those of one scan in the folder")
    normal = np.cross(planes[0, :3], planes[0, 3:])
    order = np.argsort(positions @ normal, kind="stable")
    _check_positions(positions[order], normal)
    return [headers[i] for i in order]


def _check_positions(positions: Float64Array, normal: Float64Array) -> None:
    """Raise CaseError unless slices at positions (N, 3) follow each other evenly along their normal (3,)."""
    steps = np.diff(positions @ normal)
    typical = float(np.median(steps))
    if steps.min() <= POSITION_TOLERANCE * abs(typical):
        raise CaseError("several slices at one position (phases or echoes?): keep one of them in the folder")
    wide = np.flatnonzero(np.abs(steps - typical) > POSITION_TOLERANCE * typical)
    if len(wide):
        where = f"{steps[wide[0]]:.4g} mm from slice {wide[0] + 1} to the next, {typical:.4g} mm between others"
        raise CaseError(f"slices are missing or not evenly spaced ({where}): add those that lack, or resample it")
    ways = np.diff(positions, axis=0)
    if np.abs(ways - np.outer(ways @ normal, normal)).max() > POSITION_TOLERANCE * typical:
        raise CaseError("slices are shifted against each other (a tilted gantry): resample it first, as dcm2niix does")


def _value_bytes(headers: Sequence[Header], is_colour: bool) -> int:
    """Bytes of a voxel, once slope and intercept are applied."""
    if is_colour:
        return 3
    if _has_fractions(headers) or any(name in headers[0].item for name in FLOAT_DATA):
        return 8
    return 4 if headers[0].item.BitsAllocated <= 16 else 8


def _has_fractions(headers: Sequence[Header]) -> bool:
    return any(float(header.item.get("RescaleSlope") or 1) % 1 for header in headers)


def _pixels(headers: Sequence[Header]) -> tuple[Array, Any]:
    """What SimpleITK reads of the files, rescaled as they say: (Z, Y, X, C), and its image."""
    library = simpleitk()
    paths = [itk_name(header.path) for header in headers]
    reader = library.ImageSeriesReader() if len(paths) > 1 else library.ImageFileReader()
    if len(paths) > 1:
        reader.SetFileNames(paths)
    else:
        reader.SetFileName(paths[0])
    reader.SetImageIO("GDCMImageIO")
    if _has_fractions(headers):
        # ITK takes the type of the first slice for all, and a later one may have another slope (PET).
        reader.SetOutputPixelType(library.sitkFloat32)
    try:
        image = reader.Execute()
        values = library.GetArrayFromImage(image)
    except RuntimeError as error:
        raise CaseError("its pixels cannot be decoded: damaged, truncated or encrypted") from error
    channels = image.GetNumberOfComponentsPerPixel()
    item = headers[0].item
    return values.reshape(-1, item.Rows, item.Columns, channels), image


def _values(stored: Array, item: Any, is_colour: bool) -> Array:
    """Gray, brighter the higher, or colours of 8 bits."""
    if is_colour and stored.shape[3] == 3:
        if stored.dtype != np.uint8:
            raise CaseError(f"colours of {stored.dtype.itemsize * 8} bits: convert them to 8")
        return stored
    if stored.shape[3] != 1:
        raise CaseError(f"has {stored.shape[3]} values per pixel, expected one, or three of a colour")
    gray = stored[..., 0]
    # ITK inverts such images against the largest value that the type holds; from 0 on they are as others are.
    return gray - gray.min() if item.get("PhotometricInterpretation") == INVERTED else gray


def _grid(image: Any, item: Any, frames: int) -> tuple[Grid, list[str]]:
    """Where the voxels lie, and how that is known where it is not plain."""
    size = (int(item.Columns), int(item.Rows), image.GetSize()[2] if image.GetDimension() == 3 else 1)
    direction = np.eye(3)
    given = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)
    direction[: len(given), : len(given)] = given
    spacing, origin = (*image.GetSpacing(), 1.0)[:3], (*image.GetOrigin(), 0.0)[:3]
    if frames == 1:
        return Grid(size, spacing, origin, direction), []
    groups = _frame_groups(item)
    if groups is None:
        apart = abs(float(item.get("SpacingBetweenSlices") or 1))  # of nuclear medicine it may have a sign
        return Grid(size, (*spacing[:2], apart), origin, direction), [
            f"{frames} frames without positions, taken for slices {apart:g} mm apart"
        ]
    plane, positions, pixel_spacing = groups
    along_row, along_column = plane[:3], plane[3:]
    normal = np.cross(along_row, along_column)
    upward = float((positions[-1] - positions[0]) @ normal)
    sense = 1.0 if upward >= 0 else -1.0  # frames may run either way
    _check_positions(positions, normal * sense)
    apart = abs(upward) / (frames - 1)
    direction = np.column_stack([along_row, along_column, normal * sense])
    first = (float(positions[0][0]), float(positions[0][1]), float(positions[0][2]))
    return Grid(size, (pixel_spacing[1], pixel_spacing[0], apart), first, direction), []


def _frame_groups(item: Any) -> tuple[Float64Array, Float64Array, tuple[float, float]] | None:
    """Of a multi-frame file the plane (6,), positions of all frames (F, 3) and spacing of rows and columns.

    Returns:
        None where it has no positions.

    Raises:
        CaseError: its frames are not parallel.
    """
    frames = list(item.get("PerFrameFunctionalGroupsSequence") or ())
    if not frames or int(item.get("NumberOfFrames", 1) or 1) == 1:
        return None
    shared = next(iter(item.get("SharedFunctionalGroupsSequence") or ()), None)
    try:
        positions = [_group(frame, shared, "PlanePositionSequence").ImagePositionPatient for frame in frames]
        planes = [_group(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient for frame in frames]
        spacing = _group(frames[0], shared, "PixelMeasuresSequence").PixelSpacing
    except (AttributeError, IndexError):
        return None
    if np.ptp(np.array(planes, np.float64), axis=0).max() > 1e-3:
        raise CaseError("its frames are not parallel: split it into scans first")
    return np.array(planes[0], np.float64), np.array(positions, np.float64), (float(spacing[0]), float(spacing[1]))


def _group(frame: Any, shared: Any, name: str) -> Any:
    """A functional group of a frame, or the one that all share."""
    found: Iterator[Any] = (
        groups[name].value[0] for groups in (frame, shared) if groups is not None and name in groups
    )
    return next(found, None)
