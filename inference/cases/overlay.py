"""Overlay pictures: the image with its boxes and masks, for people who would rather look."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..arrays import Array, Float64Array
from ..atomic import write_atomically
from .case import Case

FILL = 0.35  # opacity of a mask
SHORTEST_SIDE = 384  # small images are enlarged to this, by a whole factor, so that single pixels can be seen
LONGEST_SIDE = 1600  # large ones are shrunk to this
MONTAGE_SLICES = 12
MONTAGE_COLUMNS = 4
WHITE = (255, 255, 255)
GOLDEN_ANGLE = 137.508  # degrees of hue between one label and the next: neighbours in number differ in colour


def write_overlay(path: Path, case: Case, segs: Array, windows: Sequence[Iterable[float]] = ()) -> None:
    """Write a PNG of the case: one picture for an image, a montage of up to 12 slices with boxes for a volume.

    Args:
        path: the PNG file.
        case: the case as read.
        segs: its label map, (H, W) or (D, H, W).
        windows: (left, top, right, bottom) of what is drawn as thin white frames.

    Raises:
        OSError: the file cannot be written.
    """
    volume_segs = segs if case.is_volume else segs[np.newaxis]
    pictures = [_slice_picture(case, volume_segs[z], z, windows) for z in _shown_slices(case.boxes)]
    encoded = cv2.imencode(".png", _montage(pictures))[1]
    write_atomically(path, lambda file: file.write(encoded.tobytes()))


def _shown_slices(boxes: Float64Array) -> list[int]:
    if len(boxes) == 0:
        return [0]
    low, high = int(boxes[:, 2].min()), int(boxes[:, 5].max())
    count = min(MONTAGE_SLICES, high - low + 1)
    return sorted({round(z) for z in np.linspace(low, high, count)})


def _slice_picture(case: Case, labels: Array, z: int, windows: Sequence[Iterable[float]]) -> Array:
    image = case.volume[z].astype(np.uint8)
    picture: Array = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)
    height, width = labels.shape
    scale = _display_scale(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)

    on_slice = np.flatnonzero((case.boxes[:, 2] <= z) & (z <= case.boxes[:, 5]))
    for window in windows:
        _frame(picture, window, scale, WHITE)
    for label, box in zip(on_slice + 1, case.boxes[on_slice][:, [0, 1, 3, 4]], strict=True):
        colour = _colour(int(label))
        mask = labels == label
        picture[mask] = (picture[mask] * (1 - FILL) + np.array(colour) * FILL).astype(np.uint8)
        outline = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
        cv2.drawContours(picture, outline, -1, colour, 1)
        _frame(picture, box, scale, colour)
    if case.is_volume:
        cv2.putText(picture, f"z={z}", (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, WHITE, 1, cv2.LINE_AA)
    return picture


def _frame(picture: Array, edges: Iterable[float], scale: float, colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = (round(float(edge) * scale) for edge in edges)
    cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, 1)


def _display_scale(height: int, width: int) -> float:
    if max(height, width) > LONGEST_SIDE:
        return LONGEST_SIDE / max(height, width)
    return float(max(1, math.ceil(SHORTEST_SIDE / max(height, width))))


def _colour(label: int) -> tuple[int, int, int]:
    hue = np.uint8(round(label * GOLDEN_ANGLE % 360 / 2))  # OpenCV counts hue in 2 degrees
    blue, green, red = cv2.cvtColor(np.array([[[hue, 220, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return int(blue), int(green), int(red)


def _montage(pictures: list[Array]) -> Array:
    columns = min(MONTAGE_COLUMNS, len(pictures))
    blank = np.zeros_like(pictures[0])
    pictures = pictures + [blank] * (-len(pictures) % columns)
    rows = [np.hstack(pictures[start : start + columns]) for start in range(0, len(pictures), columns)]
    return np.vstack(rows)
