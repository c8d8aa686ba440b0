"""Boxes of voxels in the axes of the client's arrays."""

import math
from collections.abc import Sequence

import numpy as np

from ..arrays import Array

Region = tuple[slice, ...]  # one half-open range for each of three axes; never empty


def region(low: tuple[int, ...], high: tuple[int, ...]) -> Region:
    """From `low` to before `high`."""
    return tuple(map(slice, low, high))


def whole(shape: Sequence[int]) -> Region:
    """All of an array."""
    return tuple(slice(0, size) for size in shape)


def tight(voxels: Array) -> Region | None:
    """The smallest region that holds all that is not 0 of an array; None where there is nothing."""
    found = list(whole(voxels.shape))
    for axis in range(voxels.ndim):
        others = tuple(other for other in range(voxels.ndim) if other != axis)
        places = np.flatnonzero(voxels[tuple(found)].any(axis=others))  # of what is left to look through
        if len(places) == 0:
            return None
        found[axis] = slice(int(places[0]), int(places[-1]) + 1)
    return tuple(found)


def within(inner: Region, outer: Region) -> Region:
    """A region that is told from the beginning of another one, as part of the whole."""
    return tuple(
        slice(part.start + frame.start, part.stop + frame.start) for part, frame in zip(inner, outer, strict=True)
    )


def hull(first: Region | None, second: Region | None) -> Region | None:
    """The smallest region that holds both, of which either may be nothing."""
    if first is None or second is None:
        return first or second
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True))


def size(some: Region | None) -> int:
    """Number of voxels."""
    return math.prod(part.stop - part.start for part in some) if some else 0


def intervals(some: Region) -> list[list[int]]:
    """As the protocol has them."""
    return [[part.start, part.stop] for part in some]
