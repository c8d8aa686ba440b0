"""Segmenting an ordinary picture file: `python -m inference --image scan.png --box x0,y0,x1,y1 -o mask.png`."""

import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..arrays import Array
from ..atomic import write_atomically
from ..errors import CaseError, does_not_fit
from ..memory_limit import MOST_PIXELS
from ..options import MASK_SUFFIXES
from .archive import regular_size
from .case import Case, make_case
from .intensity import rescale_percentiles

# How a picture lies in its file, in EXIF and TIFF: the tag, its type (16 bit), and its value where nothing is turned.
ORIENTATION, SHORT, UPRIGHT = 274, 3, 1
BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
PNG = b"\x89PNG\r\n\x1a\n"
PNG_CHUNK_BYTES = 12  # of a chunk's length, type and checksum
EXIF_PREFIX = b"Exif\0\0"  # some writers put it before what EXIF says
# Values must lie so far inside of what float32 holds that their differences do too.
LARGEST_VALUE = np.finfo(np.float32).max / 4
# Beside the picture twice: each value as float32, as float64 and as uint8 while it is brought to 0..255.
RESCALING_BYTES = 4 + 8 + 1


def read_picture(path: Path, boxes: list[list[float]], max_bytes: int) -> Case:
    """A case from a picture file (PNG, JPEG, TIFF, WebP, GIF, ...), gray or colour, and boxes in its pixels.

    The picture is taken as viewers show it: turned upright where EXIF or TIFF say how it was held, of several pages or
    frames the first, both with a warning; alpha is dropped. 8 bits stay as they are, all else (16 and 32 bits, signed,
    floating point) is rescaled to 0..255 as training data are (see `rescale_percentiles`).

    Args:
        path: the file.
        boxes: `[x_min, y_min, x_max, y_max]` each, in pixels of the upright picture.
        max_bytes: memory that the picture may take. OpenCV holds its number of pixels against the environment's
            `MOST_PIXELS` before it decodes; more exactly it is known only then.

    Raises:
        CaseError: the file cannot be read, is no picture, is damaged or too large, or holds NaN or infinity.
        MemoryError: there is less memory than `max_bytes`.
    """
    try:
        if (size := regular_size(path)) > max_bytes:
            raise does_not_fit("the file", size, max_bytes)
        data = path.read_bytes()
    except OSError as error:
        raise CaseError(f"cannot be read ({error.strerror or error})") from error
    if data.startswith(PNG):
        _check_png(data)
    picture, orientation, frames = _decode(path, data)
    picture = _to_rgb(picture)
    _check_values(picture, max_bytes - len(data))
    image = picture if picture.dtype == np.uint8 else rescale_percentiles(picture)
    warnings = []
    if frames > 1:
        warnings.append(f"holds {frames} pages or frames, of which the first is taken")
    if orientation != UPRIGHT:
        warnings.append(f"turned upright (EXIF orientation {orientation}): its boxes and mask are in upright pixels")
    case = make_case(np.ascontiguousarray(image), np.array(boxes, np.float64).reshape(-1, 4))
    return replace(case, warnings=warnings + case.warnings)


def is_picture(path: Path) -> bool:
    """Whether a file begins as one of the kinds that OpenCV reads."""
    name: Any = os.fsencode(path)  # as text, a name that is no UTF-8 crashes OpenCV
    return bool(cv2.haveImageReader(name))


def _check_png(data: bytes) -> None:
    """Raise CaseError where a chunk says that it is longer than its file: OpenCV allocates what it says, up to 4 GB."""
    start = len(PNG)
    while start + PNG_CHUNK_BYTES <= len(data) and data[start + 4 : start + 8] != b"IEND":
        (length,) = struct.unpack_from(">I", data, start)
        start += PNG_CHUNK_BYTES + length
    if start > len(data):
        raise CaseError("a damaged picture")


def _decode(path: Path, data: bytes) -> tuple[Array, int, int]:
    """The picture upright, (H, W[, C]) blue first, the orientation it had in its file, and the number of its frames.

    Raises:
        CaseError: it cannot be decoded.
    """
    # OpenCV's log would tell in several lines what we tell in one.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        buffer = np.frombuffer(data, np.uint8)
        picture, kinds, metadata = cv2.imdecodeWithMetadata(buffer, cv2.IMREAD_UNCHANGED) if data else (None, (), ())
        if picture is None:
            known = bool(data) and is_picture(path)
            raise CaseError("a damaged picture" if known else "not a picture in a format that OpenCV reads")
        name: Any = os.fsencode(path)  # as in `is_picture`
        frames = cv2.imcount(name)  # reads headers only
    except cv2.error as error:
        reason = " ".join(str(getattr(error, "err", error)).split())
        most = os.environ.get(MOST_PIXELS)
        if most and "CV_IO_MAX_IMAGE_PIXELS" in reason:
            raise CaseError(f"has more than {most} pixels, which the memory limit allows for a picture") from error
        raise CaseError(f"damaged, or larger than memory allows ({reason})") from error
    if data[:4] in BYTE_ORDERS:  # a TIFF file, which OpenCV turns by itself
        return picture, _orientation(data), frames
    parts = dict(zip(map(int, kinds), metadata, strict=True))
    exif = parts[cv2.IMAGE_METADATA_EXIF].tobytes() if cv2.IMAGE_METADATA_EXIF in parts else b""
    orientation = _orientation(exif.removeprefix(EXIF_PREFIX))
    return _upright(picture, orientation), orientation, frames


def _orientation(tiff: bytes) -> int:
    """The orientation, 1..8, in the first directory of a TIFF file or of EXIF, which has the same structure.

    `UPRIGHT` where there is none, or where it cannot be read.
    """
    order = BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for number in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * number)
            if (tag, kind) == (ORIENTATION, SHORT):
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:  # the structure ends early
        pass
    return UPRIGHT


def _upright(picture: Array, orientation: int) -> Array:
    """A view of the picture (H, W[, C]) as orientation 1..8 says that it is to be shown."""
    if orientation >= 5:
        picture = picture.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return picture


def _to_rgb(picture: Array) -> Array:
    """(H, W) or (H, W, 3) red first; an alpha channel is dropped."""
    if picture.ndim == 2:
        return picture
    if picture.shape[2] == 2:  # gray and alpha
        return picture[:, :, 0]
    return picture[:, :, 2::-1]


def _check_values(picture: Array, max_bytes: int) -> None:
    """Raise CaseError where the picture takes too much memory, or holds what is no intensity."""
    needed = 2 * picture.nbytes + (0 if picture.dtype == np.uint8 else RESCALING_BYTES * picture.size)
    if needed > max_bytes:
        raise does_not_fit(f"a picture of {picture.shape[1]} x {picture.shape[0]} pixels", needed, max_bytes)
    if picture.dtype.kind == "f" and not -LARGEST_VALUE < picture.min() <= picture.max() < LARGEST_VALUE:
        raise CaseError("holds NaN, infinity, or values that are as large")


def write_mask(path: Path, segs: Array) -> None:
    """Write the label map as a picture: 0 is background, i the object of the i-th box; 16 bit above 255 boxes.

    Raises:
        CaseError: the name ends in a format that is lossy or unknown.
        OSError: the folder is not writable.
    """
    if path.suffix.lower() not in MASK_SUFFIXES:
        raise CaseError(f"a mask is written as .png or .tif, not '{path.suffix}'")
    encoded = cv2.imencode(path.suffix, segs)[1]
    write_atomically(path, lambda file: file.write(encoded.tobytes()))
