"""From which slice to which each object of a case reaches, and from where it is followed.

Mostly its box says so. But where extents are to be found (`--extent find`), a box of a single slice only marks an
object on it: the object may reach to the ends of the volume, and where it ends shows on the way.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..arrays import BoolArray, Float32Array, IntArray
from ..options import FIND, Options

if TYPE_CHECKING:
    from ..cases.case import Case

UNKNOWN = -1  # in the place of an object: how many slices it is to its end


class Extents(NamedTuple):
    """Of N objects, each (N,).

    Attributes:
        first, last: the slices from which and to which an object reaches, at most where that is to be found.
        start: the slice from which it is followed up and down.
        to_find: whether it ends before where it is not found any more.
    """

    first: IntArray
    start: IntArray
    last: IntArray
    to_find: BoolArray

    def place(self, objects: IntArray, z: int) -> Float32Array:
        """Where slice `z` lies in the extents of n objects, as the volume decoder takes it.

        Returns:
            (n, 3) slices to the first slice, to the last (`UNKNOWN`, where they are to be found), and from the start.
        """
        first, start, last, to_find = (column[objects] for column in self)
        ends = np.where(to_find, UNKNOWN, [z - first, last - z])
        return np.stack([*ends, abs(z - start)], axis=1).astype(np.float32)


def meet(first: IntArray, last: IntArray) -> BoolArray:
    """(N, N) whether two of N objects, from their `first` to their `last` slices (N,), have a slice in common."""
    met: BoolArray = (first[:, None] <= last) & (first <= last[:, None])
    return met


def extents_of(case: "Case", options: Options) -> Extents:
    """The extents of a case's objects, under the user's choices."""
    first, last = case.boxes[:, 2].astype(np.intp), case.boxes[:, 5].astype(np.intp)
    start = (first + last) // 2
    to_find = (first == last) & (case.is_volume and options.extent == FIND)
    return Extents(np.where(to_find, 0, first), start, np.where(to_find, case.shape[0] - 1, last), to_find)
