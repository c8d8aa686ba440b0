"""The two ways through a volume: which objects are segmented on which slice, in which order.

Flattening (QMedSAM): every 3D box becomes the same 2D box on each of its slices, and no slice depends on another. An
image is a volume of one slice.

Propagation (the LiteMedSAM baseline): from the middle slice of each box outward, each slice prompted by the last mask.
The baseline walks object by object and encodes a slice again for each. Here all objects go together: first every
object on its middle slice, then one sweep up and one sweep down, side by side. An object takes part in the sweep up
above its middle slice and in the sweep down below it. Where its ends are to be found, the sweeps go to the ends of the
volume, as far as it can reach; that it has ended shows on the way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..arrays import IntArray
from .extent import Extents


class View(NamedTuple):
    """What is encoded once, and decoded for all its objects.

    Attributes:
        window: index of the window in the plan.
        objects: (n,) indices of the objects, from 0, that are segmented on it.
    """

    window: int
    objects: IntArray


class Visit(NamedTuple):
    """One go at slice `z`: its views, each with another window."""

    z: int
    views: list[View]


Chain = list[Visit]  # visits one after the other


@dataclass(frozen=True)
class Route:
    """All visits of a case, which segment every object on each slice that it can reach once.

    Attributes:
        starts: chains whose visits are prompted by the given boxes; they can be walked side by side.
        sweeps: chains that begin when all `starts` have ended, side by side; each visit is prompted by what the one
            before it left, the first by what `starts` left. Without sweeps, no slice prompts another one.
    """

    starts: list[Chain]
    sweeps: list[Chain]

    @property
    def visits(self) -> Iterator[Visit]:
        return (visit for chain in (*self.starts, *self.sweeps) for visit in chain)


def flatten(objects: IntArray, extents: Extents, chosen: IntArray, lanes: int) -> Route:
    """Every object on each of its slices; the slices dealt out to `lanes` chains.

    Args:
        objects: indices of the objects that take part.
        extents: of all objects.
        chosen: (N,) index of each object's window.
    """
    first, _, last, _ = extents
    slices = _slices(objects, first, last)
    chain = [_visit(z, on_slice, chosen) for z in slices if len(on_slice := _on(objects, first, last, z))]
    return Route([chain[lane::lanes] for lane in range(min(lanes, len(chain)))], [])


def propagate(objects: IntArray, extents: Extents, chosen: IntArray) -> Route:
    """The slices to start from, and the sweeps up and down from them; arguments as for `flatten`."""
    first, start, last, _ = extents
    slices = _slices(objects, first, last)
    starts = [_visit(z, on_slice, chosen) for z in slices if len(on_slice := objects[start[objects] == z])]
    up = [_visit(z, above, chosen) for z in slices if len(above := _on(objects, start + 1, last, z))]
    down = [_visit(z, below, chosen) for z in reversed(slices) if len(below := _on(objects, first, start - 1, z))]
    return Route([[visit] for visit in starts], [chain for chain in (up, down) if chain])


def _slices(objects: IntArray, first: IntArray, last: IntArray) -> range:
    """From the first slice of any object to the last."""
    return range(first[objects].min(), last[objects].max() + 1) if len(objects) else range(0)


def _on(objects: IntArray, first: IntArray, last: IntArray, z: int) -> IntArray:
    """Those of the objects that have slice `z`."""
    return objects[(first[objects] <= z) & (z <= last[objects])]


def _visit(z: int, objects: IntArray, chosen: IntArray) -> Visit:
    windows = sorted(set(chosen[objects].tolist()))  # np.unique would import numpy.ma, which takes 10 ms
    return Visit(z, [View(window, objects[chosen[objects] == window]) for window in windows])
