"""Zoom: small objects are seen at the resolution they need.

A box that is small beside the image is segmented on a window of the image that magnifies it. Boxes of about the same
size whose centres lie in the same cell of a grid share a window, so that a box's window depends on its near neighbours
and on no other box. Only where that makes more windows than allowed do the smallest cells grow until it does not: the
number of encoder passes stays bounded however many boxes there are. A window costs one pass, as the whole image does;
where all boxes lie in windows, the whole image is not encoded at all. See docs/zoom.md for what this brings.
"""

from typing import NamedTuple

import numpy as np

from ..arrays import Float64Array, IntArray

# A window is at least this many times as wide and high as each of its boxes: context, which the model needs.
CONTEXT = 2.25
# A window has at least this many pixels of the image a side: fewer hold too little to be worth magnifying.
LEAST_SIDE = 32.0
MAX_WINDOWS = 8
MAX_WINDOWS_OF_A_VOLUME = 1  # each costs a pass of the encoder on every slice
# A window that magnifies less than this is not worth a pass of its own.
LEAST_MAGNIFICATION = 1.25
WHOLE_IMAGE = 0  # index of the window that is the whole image
CELLS_PER_AXIS = 2**20  # more than any image has; numbers cells


class Window(NamedTuple):
    """A rectangle of the image, in whole pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left


def whole_image(count: int, height: int, width: int) -> tuple[list[Window], IntArray]:
    """One window, the whole image, for `count` boxes; in the form of `plan_windows`."""
    return [Window(0, 0, width, height)], np.full(count, WHOLE_IMAGE, np.intp)


def plan_windows(
    boxes: Float64Array, height: int, width: int, most: int = MAX_WINDOWS
) -> tuple[list[Window], IntArray]:
    """Choose the windows of an image, and for each box the window it is segmented on.

    Args:
        boxes: (N, 4) `x_min, y_min, x_max, y_max`, pixels of the image.
        height, width: of the image.
        most: windows besides the whole image, at most.

    Returns:
        At most `most` + 1 windows, the first the whole image, and (N,) the index of each box's window.
    """
    windows, chosen = whole_image(len(boxes), height, width)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    small = np.flatnonzero(sides * CONTEXT * LEAST_MAGNIFICATION < max(height, width))
    cells = _cells(boxes[small], sides[small], most)
    for cell in sorted(set(cells.tolist())):  # np.unique would import numpy.ma, which takes 10 ms
        inside = small[cells == cell]
        window = _tight_window(boxes[inside], sides[inside], height, width)
        if max(window.height, window.width) * LEAST_MAGNIFICATION < max(height, width):
            chosen[inside] = len(windows)
            windows.append(window)
    return windows, chosen


def _cells(boxes: Float64Array, sides: Float64Array, most: int) -> IntArray:
    """The cell that holds each box's centre, as a number (N,): at most `most` different ones.

    A cell's side is the power of two that is one to two times the longest side of its boxes; each size of cell has a
    grid of its own. Where there are too many cells, none may be smaller than a least size, which grows by half octaves.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    own = 2 * np.ceil(np.log2(np.maximum(sides, LEAST_SIDE / CONTEXT)))  # in half octaves
    least = own.min(initial=np.inf)
    while True:
        size = np.maximum(own, least)
        column, row = np.floor(centres / 2 ** (size[:, np.newaxis] / 2)).T
        cells: IntArray = ((size * CELLS_PER_AXIS + column) * CELLS_PER_AXIS + row).astype(np.intp)
        if len(set(cells.tolist())) <= most:
            return cells
        least += 1


def _tight_window(boxes: Float64Array, sides: Float64Array, height: int, width: int) -> Window:
    """The smallest square of at least `LEAST_SIDE`, clipped to the image, that holds the boxes with a margin and gives
    each its context."""
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    margin = float(sides.min()) * (CONTEXT - 1) / 2
    side = max(float((high - low).max()) + 2 * margin, float(sides.max()) * CONTEXT, LEAST_SIDE)
    start = (low + high) / 2 - side / 2
    # At the image's border the window is shifted inside rather than cut, as long as it fits.
    start = np.clip(start, 0, np.maximum(0, np.array([width, height]) - side))
    left, top = np.floor(start).astype(int)
    right, bottom = np.ceil(start + side).astype(int)
    return Window(int(left), int(top), int(min(right, width)), int(min(bottom, height)))
