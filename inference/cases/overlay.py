"""Overlay pictures: the image with its boxes and masks, for people who would rather look."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..arrays import Array, BoolArray
from ..atomic import write_atomically
from .boxes import pixel_edges
from .case import Case
from .colours import choose_colours

# Longest side as shown, at least and at most: smaller images are enlarged by a whole factor, larger ones shrunk.
PICTURE_SIDES = (768, 1600)
SLICE_SIDES = (384, 640)  # of a volume
MONTAGE_SLICES = 12
MONTAGE_COLUMNS = 4
GAP = 8  # pixels between slices
FILL = 0.2  # opacity of a mask: its texture has to be seen
OUTLINE = 2  # pixels
EDGE_SHADE = 0.35  # what is left of the image just outside of an object, so that its outline shows on any ground
FONT, FONT_SCALE, FONT_WEIGHT = cv2.FONT_HERSHEY_SIMPLEX, 0.6, 2
FONT_EDGE = 2  # pixels of black around letters
MARGIN = 3  # pixels between the number of a slice and its corner
WHITE = (255, 255, 255)

Point = tuple[int, int]


def write_overlay(path: Path, case: Case, segs: Array, windows: Sequence[Sequence[int]] = ()) -> None:
    """Write a PNG of the case: one picture for an image, a montage of up to 12 slices with boxes for a volume.

    Every usable box has its number beside it (`Case.numbers`).

    Args:
        path: the PNG file.
        case: the case as read.
        segs: its label map, (H, W) or (D, H, W), uint8 or uint16.
        windows: `(left, top, right, bottom)` in pixels of a slice, right and bottom exclusive; drawn as white frames.

    Raises:
        OSError: the file cannot be written.
    """
    encoded = cv2.imencode(".png", draw_overlay(case, segs, windows))[1]
    write_atomically(path, lambda file: file.write(encoded.tobytes()))


def draw_overlay(case: Case, segs: Array, windows: Sequence[Sequence[int]] = ()) -> Array:
    """The picture of `write_overlay`: (height, width, 3) uint8, blue first."""
    volume_segs = segs if case.is_volume else segs[np.newaxis]
    slices = _shown_slices(case)
    gain = _gain(case.volume[slices])
    scale = _display_scale(max(case.shape[1:]), *(SLICE_SIDES if case.is_volume else PICTURE_SIDES))
    colours = np.zeros((len(case.boxes) + 1, 3), np.uint8)  # the background's is not used
    colours[1:][case.usable] = choose_colours(case.boxes[case.usable])
    pictures = []
    for z in slices:
        picture = _displayed(case.volume[z], gain, scale)
        _paint_masks(picture, volume_segs[z], colours)
        for window in windows:
            _frame(picture, window, scale, WHITE)
        written = np.zeros(picture.shape[:2], bool)
        if case.is_volume:
            _write(picture, _letters(case.slice_name(z)), WHITE, [(MARGIN, MARGIN)], written)
        _draw_boxes(picture, case, z, scale, colours, written)
        pictures.append(picture)
    return _montage(pictures)


def _shown_slices(case: Case) -> list[int]:
    """Slices from the first with a box to the last, evenly spaced; the middle one where there is no box."""
    boxes = case.boxes[case.usable]
    if len(boxes) == 0:
        return [case.shape[0] // 2]
    low, high = int(boxes[:, 2].min()), int(boxes[:, 5].max())
    count = min(MONTAGE_SLICES, high - low + 1)
    return sorted({round(z) for z in np.linspace(low, high, count)})


def _gain(images: Array) -> float:
    """What intensities are multiplied by for display: images in 0..1 are shown over the full range, others as is."""
    brightest = float(images.max())
    return 255 / brightest if 0 < brightest <= 1 else 1.0


def _display_scale(side: int, least: int, most: int) -> float:
    """From pixels of an image whose longest side is `side` to pixels of the picture."""
    return most / side if side > most else float(math.ceil(least / side))


def _displayed(image: Array, gain: float, scale: float) -> Array:
    """The image (H, W) or (H, W, 3) in 8 bits, blue first, at the size at which it is shown."""
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    eight_bit = cv2.convertScaleAbs(np.ascontiguousarray(image), alpha=gain)
    resized = cv2.resize(eight_bit, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    picture: Array = cv2.cvtColor(resized, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)
    return picture


def _paint_masks(picture: Array, labels: Array, colours: Array) -> None:
    """Tint each object of the label map (H, W), line its inside, and shade its surroundings; all objects at once."""
    labels = cv2.resize(labels, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    inside = labels > 0
    around = np.ones((2 * OUTLINE + 1, 2 * OUTLINE + 1), np.uint8)
    edge = inside & ((cv2.erode(labels, around) != labels) | (cv2.dilate(labels, around) != labels))
    beside = ~inside & (cv2.dilate(labels, np.ones((3, 3), np.uint8)) > 0)
    colour = colours[labels]
    tinted = cv2.addWeighted(picture, 1 - FILL, colour, FILL, 0)
    np.copyto(picture, tinted, where=inside[:, :, np.newaxis])
    np.copyto(picture, colour, where=edge[:, :, np.newaxis])
    np.copyto(picture, cv2.convertScaleAbs(picture, alpha=EDGE_SHADE), where=beside[:, :, np.newaxis])


def _draw_boxes(picture: Array, case: Case, z: int, scale: float, colours: Array, written: BoolArray) -> None:
    """Draw the boxes of a slice and then, over all of them, their numbers."""
    on_slice = np.flatnonzero(case.usable & (case.boxes[:, 2] <= z) & (z <= case.boxes[:, 5]))
    edges = pixel_edges(case.boxes[on_slice][:, [0, 1, 3, 4]], *case.shape[1:])
    places = [_frame(picture, box, scale, colours[i + 1].tolist()) for i, box in zip(on_slice, edges, strict=True)]
    for i, (left, top, right, bottom) in zip(on_slice, places, strict=True):
        height, width = (letters := _letters(str(case.numbers[int(i)]))).shape
        above, below, flush = top - height, bottom + 1, right - width
        beside = [(left, above), (flush, above), (left, below), (flush, below), (left, top)]
        _write(picture, letters, colours[i + 1], beside, written)


def _frame(picture: Array, edges: Iterable[float], scale: float, colour: Sequence[int]) -> tuple[int, int, int, int]:
    """Draw a frame just inside of pixel edges, in place; its `left, top, right, bottom` in the picture, inclusive."""
    left, top, right, bottom = (round(float(edge) * scale) for edge in edges)
    right, bottom = max(left, right - 1), max(top, bottom - 1)
    cv2.rectangle(picture, (left, top), (right, bottom), colour, 1)
    return left, top, right, bottom


def _letters(text: str) -> Array:
    """The opacity of a text, 0..255, uint8, as wide and high as it is with the black around it."""
    (width, height), below = cv2.getTextSize(text, FONT, FONT_SCALE, FONT_WEIGHT)
    letters = np.zeros((height + below + 2 * FONT_EDGE, width + 2 * FONT_EDGE), np.uint8)
    cv2.putText(letters, text, (FONT_EDGE, FONT_EDGE + height), FONT, FONT_SCALE, 255, FONT_WEIGHT, cv2.LINE_AA)
    rows = np.flatnonzero(letters.any(axis=1))
    return letters[max(0, rows[0] - FONT_EDGE) : rows[-1] + 1 + FONT_EDGE]


def _write(picture: Array, letters: Array, colour: Sequence[int], places: list[Point], written: BoolArray) -> None:
    """Write at the first place that is free, edged in black.

    Args:
        letters: from `_letters`.
        places: left and top in the picture, best first; the last is taken, moved inside, where none is free.
        written: (H, W) where there is text already; changed in place.
    """
    height, width = np.minimum(letters.shape, picture.shape[:2])
    most_left, most_top = picture.shape[1] - width, picture.shape[0] - height
    for left, top in places:
        inside = 0 <= left <= most_left and 0 <= top <= most_top
        if inside and not written[top : top + height, left : left + width].any():
            break
    left, top = max(0, min(left, most_left)), max(0, min(top, most_top))
    place = np.s_[top : top + height, left : left + width]
    written[place] = True
    opacity = letters[:height, :width, np.newaxis] / 255
    edge = cv2.dilate(letters, np.ones((2 * FONT_EDGE + 1,) * 2, np.uint8))[:height, :width, np.newaxis] / 255
    picture[place] = picture[place] * (1 - edge) * (1 - opacity) + np.array(colour) * opacity


def _montage(pictures: list[Array]) -> Array:
    """Pictures of one size in rows, with gaps between them."""
    rows = math.ceil(len(pictures) / MONTAGE_COLUMNS)
    columns = math.ceil(len(pictures) / rows)
    height, width = pictures[0].shape[:2]
    montage = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        montage[top : top + height, left : left + width] = picture
    return montage
