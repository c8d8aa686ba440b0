"""The mask that a user makes of one object, step by step, and back."""

from collections import deque
from typing import NamedTuple

import numpy as np

from ..arrays import Array, BoolArray
from .region import Region, tight, whole, within

# Of the steps back, so many bits per voxel of the image are kept, and the last step in any case.
HISTORY_BITS = 2


class Found(NamedTuple):
    """What was found of an object: `values` bool on a region, which is None where nothing was."""

    region: Region | None
    values: BoolArray


class Step(NamedTuple):
    """What the mask was in a region before it changed; as bits."""

    region: Region | None
    bits: Array


class Mask:
    """What boxes found is added or taken away, whatever came last having its way."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Empty."""
        self.values: BoolArray = np.zeros(shape, np.bool_)
        self._steps: deque[Step] = deque()

    @property
    def last_region(self) -> Region | None:
        """What `undo` would change."""
        return self._steps[-1].region if self._steps else None

    def include(self, found: Found) -> Region | None:
        """Add it; returns the region that changed."""
        if found.region is None:
            return self._change(None, found.values)
        return self._change(found.region, self.values[found.region] | found.values)

    def exclude(self, found: Found) -> Region | None:
        """Take it away; returns the region that changed."""
        if found.region is None:
            return self._change(None, found.values)
        return self._change(found.region, self.values[found.region] & ~found.values)

    def replace(self, values: BoolArray) -> Region | None:
        """Start from another mask of the same shape; returns the region that changed."""
        return self._change(whole(values.shape), values)

    def undo(self) -> tuple[bool, Region | None]:
        """Take the last step back: whether there was one, and the region that changed."""
        if not self._steps:
            return False, None
        step = self._steps.pop()
        if step.region is not None:
            shape = self.values[step.region].shape
            bits = np.unpackbits(step.bits, count=int(np.prod(shape)))
            self.values[step.region] = bits.reshape(shape)
        return True, step.region

    def _change(self, region: Region | None, values: BoolArray) -> Region | None:
        changed = None
        if region is not None and (inner := tight(self.values[region] != values)):
            changed = within(inner, region)
        before = self.values[changed] if changed else values[:0]
        self._steps.append(Step(changed, np.packbits(before)))
        most = HISTORY_BITS * self.values.size // 8
        while len(self._steps) > 1 and sum(step.bits.nbytes for step in self._steps) > most:
            self._steps.popleft()
        if changed and region:
            self.values[changed] = values[inner]
        return changed


def mask_bytes(voxels: int) -> int:
    """Bytes of a mask and its steps back."""
    return voxels + voxels * HISTORY_BITS // 8
