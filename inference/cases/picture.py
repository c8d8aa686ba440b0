"""Segmenting an ordinary picture file: `python -m inference --image scan.png --box x0,y0,x1,y1 -o mask.png`."""

from pathlib import Path

import cv2
import numpy as np

from ..arrays import Array
from ..atomic import write_atomically
from ..errors import CaseError, does_not_fit
from ..options import MASK_SUFFIXES
from .case import Case, make_case
from .npz import regular_size

PERCENTILES = (0.5, 99.5)  # of the non-zero pixels: the range of a 16-bit picture that becomes 0..255


def read_picture(path: Path, boxes: list[list[float]], max_bytes: int) -> Case:
    """A case from a picture file (PNG, JPEG, TIFF, ...), gray or colour, 8 or 16 bit, and boxes in its pixels.

    Args:
        max_bytes: memory that the file may take.

    Raises:
        CaseError: the file is no picture, or a box is unusable.
    """
    try:
        if (size := regular_size(path)) > max_bytes:
            raise does_not_fit("the file", size, max_bytes)
        data = np.frombuffer(path.read_bytes(), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    except OSError as error:
        raise CaseError(f"cannot be read ({error.strerror or error})") from error
    except cv2.error as error:
        raise CaseError(f"damaged, or larger than memory allows ({error.err})") from error
    if picture is None:
        raise CaseError("not a picture in a format that OpenCV reads")
    return make_case(_to_8_bit(_to_rgb(picture)), np.array(boxes, np.float64).reshape(-1, 4))


def _to_rgb(picture: Array) -> Array:
    """(H, W) or (H, W, 3) red first; an alpha channel is dropped."""
    if picture.ndim == 2:
        return picture
    if picture.shape[2] == 2:  # gray and alpha
        return picture[:, :, 0]
    return picture[:, :, 2::-1]


def _to_8_bit(picture: Array) -> Array:
    if picture.dtype == np.uint8:
        return picture
    content = picture[picture > 0]
    if content.size == 0:
        return np.zeros(picture.shape, np.uint8)
    low, high = np.percentile(content, PERCENTILES)
    scaled = (picture.astype(np.float32) - low) / max(float(high - low), 1e-6)
    eight_bit: Array = (np.clip(scaled, 0, 1) * 255 + 0.5).astype(np.uint8)
    return eight_bit


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
