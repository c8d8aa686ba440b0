"""Zoom: small objects are seen at the resolution they need.

A box that is small in the encoder's input is segmented on a window of the image that magnifies it. Neighbouring small
boxes share a window, so that the number of encoder passes stays bounded however many boxes there are. A window costs
one pass, as the whole image does; where all boxes lie in windows, the whole image is not encoded at all.
"""

from typing import NamedTuple

import numpy as np

from ..arrays import BoolArray, Float64Array, IntArray

# A box is small if its longest side is under this many pixels of the input when the whole image is shown.
SMALL = 100.0
# A window is at least this many times as wide and high as each of its boxes: context, which the model needs.
CONTEXT = 2.25
# A window has at least this many pixels of the image a side: fewer hold too little to be worth magnifying.
LEAST_SIDE = 32.0
# How large the smallest box of a shared window must appear in the input, in pixels. The first that needs no more than
# MAX_WINDOWS windows is taken: the more boxes there are, the more of them share a window, each seen smaller.
APPARENT = (64.0, 48.0, 32.0, 24.0)
MAX_WINDOWS = 8
# A window that magnifies less than this is not worth a pass of its own.
LEAST_MAGNIFICATION = 1.25
WHOLE_IMAGE = 0  # index of the window that is the whole image
PLACES = 5  # places along each axis at which a shared window is tried


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


def plan_windows(boxes: Float64Array, height: int, width: int, input_size: int) -> tuple[list[Window], IntArray]:
    """Choose the windows of an image, and for each box the window it is segmented on.

    Args:
        boxes: (N, 4) `x_min, y_min, x_max, y_max`, pixels of the image.
        height, width: of the image.
        input_size: side of the encoder's input.

    Returns:
        At most `MAX_WINDOWS` + 1 windows, the first the whole image, and (N,) the index of each box's window.
    """
    whole = Window(0, 0, width, height)
    chosen = np.zeros(len(boxes), np.intp)
    scale = input_size / max(height, width)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    small = np.flatnonzero((sides * scale < SMALL) & (sides * CONTEXT * LEAST_MAGNIFICATION < max(height, width)))
    if len(small) == 0:
        return [whole], chosen
    for apparent in APPARENT:
        largest = np.maximum(np.maximum(sides * input_size / apparent, sides * CONTEXT), LEAST_SIDE)
        largest = np.minimum(largest, max(height, width))
        windows, members = _cover(boxes[small], sides[small], largest[small], height, width)
        if len(windows) <= MAX_WINDOWS:
            break
    for index, (window, inside) in enumerate(zip(windows[:MAX_WINDOWS], members, strict=False), start=1):
        if max(window.height, window.width) * LEAST_MAGNIFICATION < max(height, width):
            chosen[small[inside]] = index
    return [whole, *windows[:MAX_WINDOWS]], chosen


def _cover(
    boxes: Float64Array, sides: Float64Array, largest: Float64Array, height: int, width: int
) -> tuple[list[Window], list[BoolArray]]:
    """Greedily cover all boxes: each time a window for the smallest box left, placed to take in as many others.

    Args:
        sides: (N,) longest sides of the boxes.
        largest: (N,) side of the largest window that still shows each box large enough.

    Returns:
        The windows, and for each the boxes (N,) bool that it takes in.
    """
    left = np.ones(len(boxes), bool)
    windows: list[Window] = []
    members: list[BoolArray] = []
    while left.any() and len(windows) <= MAX_WINDOWS:
        smallest = int(np.argmin(np.where(left, largest, np.inf)))
        fitting = left & (sides * CONTEXT <= largest[smallest])
        fitting[smallest] = True
        inside = _best_place(boxes, boxes[smallest], largest[smallest], fitting)
        windows.append(_tight_window(boxes[inside], sides[inside], height, width))
        members.append(inside)
        left &= ~inside
    return windows, members


def _best_place(boxes: Float64Array, seed: Float64Array, side: float, fitting: BoolArray) -> BoolArray:
    """The boxes (N,) bool in a square window of `side` that holds `seed`, at the place where it holds most."""
    margin = (seed[2:] - seed[:2]) * (CONTEXT - 1) / 4  # half of the context that a box in the middle would have
    low, high = np.minimum(seed[2:] + margin - side, seed[:2] - margin), seed[:2] - margin
    # The middle comes first, so that of equal places the one that shows the seed in the middle is taken.
    steps = sorted(np.linspace(0, 1, PLACES), key=lambda step: abs(step - 0.5))
    best = np.zeros(len(boxes), bool)
    for x in low[0] + np.array(steps) * (high - low)[0]:
        for y in low[1] + np.array(steps) * (high - low)[1]:
            inside = fitting & np.all((boxes[:, :2] >= [x, y]) & (boxes[:, 2:] <= [x + side, y + side]), axis=1)
            if inside.sum() > best.sum():
                best = inside
    return best


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
