"""One case: an image or a volume with the boxes of its objects, read from an npz file and checked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inference import boxes as box_prompts
from inference.arrays import Array, Float64Array
from inference.errors import CaseError
from inference.npz import read_arrays

MAX_OBJECTS = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class Case:
    """A 2D case is a volume of one slice, so that everything downstream sees one form.

    Attributes:
        volume: (D, H, W) or (D, H, W, 3), uint8 or float32, values 0..255.
        boxes: (N, 6) float64 `[x_min, y_min, z_min, x_max, y_max, z_max]`, voxels, inside the volume, z inclusive.
        is_volume: whether `segs` is (D, H, W); else it is (H, W).
        warnings: what was repaired, one line each.
    """

    volume: Array
    boxes: Float64Array
    is_volume: bool
    warnings: list[str] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        depth, height, width = self.volume.shape[:3]
        return depth, height, width

    @property
    def segs_dtype(self) -> type[np.unsignedinteger[Any]]:
        """Label type of the contract: uint8, or uint16 above 255 boxes."""
        return np.uint8 if len(self.boxes) <= np.iinfo(np.uint8).max else np.uint16


def read_case(path: Path, max_bytes: int) -> Case:
    """Read and check one npz case (DESIGN section 1).

    Args:
        path: the npz file with `imgs` and `boxes`.
        max_bytes: memory that its arrays may take.

    Raises:
        CaseError: the reason, in one line, why this file is not a case.
    """
    arrays = read_arrays(path, ("imgs", "boxes"), max_bytes)
    for name in ("imgs", "boxes"):
        if name not in arrays:
            raise CaseError(f"array '{name}' is missing")
    return make_case(arrays["imgs"], arrays["boxes"])


def make_case(imgs: Array, boxes: Array) -> Case:
    """Check the two arrays of a case against each other and bring them into the common form.

    Raises:
        CaseError: wrong shapes, values outside 0..255 or not finite, unusable boxes.
    """
    boxes, is_volume = _box_table(boxes, imgs)
    if len(boxes) > MAX_OBJECTS:
        raise CaseError(f"{len(boxes)} boxes, but labels end at {MAX_OBJECTS}")
    volume = _intensities(imgs if is_volume else imgs[np.newaxis])
    depth, height, width = volume.shape[:3]
    repaired, warnings = box_prompts.repair(box_prompts.common_form(boxes), (depth, height, width))
    return Case(volume, repaired, is_volume, warnings)


def _box_table(boxes: Array, imgs: Array) -> tuple[Array, bool]:
    """Boxes as a table of 4 or 6 columns, and whether the case is 3D: the columns decide, checked against `imgs`."""
    if boxes.size == 0:
        is_volume = boxes.shape[-1] == 6 if boxes.ndim == 2 and boxes.shape[1] in (4, 6) else _looks_like_volume(imgs)
        boxes = np.empty((0, 6 if is_volume else 4))
    elif boxes.ndim == 1 and boxes.size in (4, 6):
        boxes = boxes[np.newaxis]
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 6):
        raise CaseError(f"'boxes' has shape {boxes.shape}, expected (N, 4) or (N, 6)")
    is_volume = boxes.shape[1] == 6
    expected = "(D, H, W) or (D, H, W, 3)" if is_volume else "(H, W) or (H, W, 3)"
    planes = 3 if is_volume else 2
    if imgs.ndim not in (planes, planes + 1) or (imgs.ndim == planes + 1 and imgs.shape[-1] != 3):
        raise CaseError(f"'imgs' has shape {imgs.shape}, expected {expected} for boxes with {boxes.shape[1]} columns")
    if imgs.size == 0:
        raise CaseError(f"'imgs' is empty, shape {imgs.shape}")
    return boxes, is_volume


def _looks_like_volume(imgs: Array) -> bool:
    return imgs.ndim == 4 or (imgs.ndim == 3 and imgs.shape[-1] != 3)


def _intensities(imgs: Array) -> Array:
    """Values as uint8 where they are whole by type, else float32."""
    if imgs.dtype == np.uint8:
        return imgs
    low, high = imgs.min(), imgs.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise CaseError("'imgs' holds NaN or infinity")
    if low < 0 or high > 255:
        raise CaseError(f"'imgs' holds values {low:g}..{high:g}, expected 0..255")
    return imgs.astype(np.float32 if imgs.dtype.kind == "f" else np.uint8)
