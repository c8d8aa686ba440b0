"""The objects of volumes: where each lies, so that clips of its slices can be drawn without reading the volume."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

FEWEST_SLICES = 3  # of an object that is followed; a shorter one has no slice between its middle and its ends
FEWEST_VOXELS = 100


class VolumeObject(NamedTuple):
    """One label of a volume.

    Attributes:
        label: its number in the label map.
        first, last: its first and last slice.
    """

    label: int
    first: int
    last: int

    @property
    def middle(self) -> int:
        """The slice on which the runtime starts."""
        return (self.first + self.last) // 2


def find_objects(gts: np.ndarray) -> np.ndarray:
    """The labels of a volume (D, H, W) that can be followed: (K, 3) int32, rows of `VolumeObject`."""
    objects = []
    for label, window in enumerate(ndimage.find_objects(gts), start=1):
        if window is None:
            continue
        first, last = window[0].start, window[0].stop - 1
        if last - first + 1 >= FEWEST_SLICES and np.count_nonzero(gts[window] == label) >= FEWEST_VOXELS:
            objects.append(VolumeObject(label, first, last))
    return np.array(objects, np.int32).reshape(-1, 3)


def slices_with(gts: np.ndarray, label: int) -> np.ndarray:
    """Numbers of the slices that hold a label, ascending."""
    return np.flatnonzero((gts == label).any(axis=(1, 2)))
