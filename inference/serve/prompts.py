"""What people draw, as the region of a box: the model knows no other prompt."""

import math
from collections.abc import Sequence
from typing import Any

from ..arrays import Array
from .refused import Refused
from .region import Region, region, tight, whole, within

NO_POINTS = (
    "points are not supported: the model is prompted by boxes; draw a box, a lasso or a scribble, whose box is taken"
)


def box_region(drawn: Any, shape: Sequence[int]) -> Region:
    """The region of a box that is drawn.

    Args:
        drawn: three pairs of numbers, half-open intervals, which need not be whole numbers nor inside the image.
        shape: of the image.

    Raises:
        Refused: it is no box, or outside the image.
    """
    first, last = _bounds(drawn)
    if any(a == b for a, b in zip(first, last, strict=True)):
        raise Refused(400, f"the box {drawn} has no extent along one of its axes; give half-open intervals")
    starts = [round(start) for start in first]
    stops = [max(round(stop), start + 1) for stop, start in zip(last, starts, strict=True)]  # a voxel at least
    low, high = [max(0, start) for start in starts], [min(*ends) for ends in zip(stops, shape, strict=True)]
    if any(a >= b for a, b in zip(low, high, strict=True)):
        raise Refused(400, f"the box {drawn} is outside the image of {' x '.join(map(str, shape))} voxels")
    return region(tuple(low), tuple(high))


def drawing_region(mask: Array, where: Any, shape: Sequence[int]) -> Region:
    """The region of the box around a lasso or a scribble.

    Args:
        mask: not 0 where it was drawn: all of the image, or the part of it that `where` says.
        where: three pairs of whole numbers, half-open intervals, or None.
        shape: of the image.

    Raises:
        Refused: the two do not go together, they are outside the image, or nothing is drawn.
    """
    frame = whole(shape) if where is None else _frame(where, shape)
    if mask.shape != tuple(part.stop - part.start for part in frame):
        raise Refused(400, f"the drawing has shape {mask.shape}, which is not that of its place in the image")
    drawn = tight(mask)
    if drawn is None:
        raise Refused(400, "the drawing is empty")
    return within(drawn, frame)


def _frame(where: Any, shape: Sequence[int]) -> Region:
    low, high = _bounds(where)
    ends = zip(low, high, shape, strict=True)
    if not all(a == int(a) and b == int(b) and 0 <= a < b <= size for a, b, size in ends):
        raise Refused(400, f"the place {where} of the drawing is not inside the image of shape {tuple(shape)}")
    return region(tuple(map(int, low)), tuple(map(int, high)))


def _bounds(drawn: Any) -> tuple[list[float], list[float]]:
    """The lower and the upper ends of three intervals."""
    are_pairs = isinstance(drawn, list) and len(drawn) == 3 and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) for pair in drawn
    )  # fmt: skip
    if not are_pairs:
        raise Refused(400, "a box is three pairs of numbers, one for each axis of the image")
    return [min(pair) for pair in drawn], [max(pair) for pair in drawn]


def _is_number(value: Any) -> bool:
    """Of a size that can be an index; in Python a bool is an int too."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 2**31
    )
