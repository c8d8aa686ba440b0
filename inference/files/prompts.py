"""The objects that are asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Float64Array
from ..cases.box_count import MAX_OBJECTS
from ..errors import CaseError
from .grid import Grid

VOXELS, PATIENT = "voxels", "patient"


@dataclass(frozen=True)
class Prompt:
    """A box, and what its object is called.

    Attributes:
        numbers: `x_min, y_min, z_min, x_max, y_max, z_max` or `x_min, y_min, x_max, y_max`; or, for a box that is
            turned, the 24 coordinates of its 8 corners.
        space: `VOXELS`, indices of the file as viewers show them, of which the last belongs to the box; or `PATIENT`,
            coordinates in mm, x to the left, y to the back, z to the head (LPS).
        label: its value in the label map; None for the next that is free.
        name: what people call it; may be empty.
        file: the name of the file it belongs to; empty for every one.
        category, image: their numbers in COCO; None elsewhere.
    """

    numbers: tuple[float, ...]
    space: str = VOXELS
    label: int | None = None
    name: str = ""
    file: str = ""
    category: int | None = None
    image: int | None = None


@dataclass(frozen=True)
class Object:
    """An object of one image.

    Attributes:
        label: its value in the label map, 1..65535.
        box: (6,) voxel indices of the file, x, y, z.
        category, image: as of `Prompt`.
    """

    label: int
    name: str
    box: Float64Array
    category: int | None = None
    image: int | None = None

    @property
    def title(self) -> str:
        """Its name, or `object 3`."""
        return self.name or f"object {self.label}"


def objects_of(prompts: Sequence[Prompt], grid: Grid | None) -> list[Object]:
    """The objects of an image.

    Args:
        prompts: those for this image.
        grid: where its voxels lie; None for a picture, which has no patient coordinates.

    Raises:
        CaseError: no box; a box of the wrong number of coordinates; a label that is none.
    """
    if not prompts:
        raise CaseError("no box for it")
    labels = _labels([prompt.label for prompt in prompts])
    return [
        Object(label, prompt.name, _box(prompt, grid, i), prompt.category, prompt.image)
        for i, (label, prompt) in enumerate(zip(labels, prompts, strict=True), 1)
    ]


def one_per_label(objects: Iterable[Object]) -> list[Object]:
    """The first object of each label."""
    first: dict[int, Object] = {}
    for item in objects:
        first.setdefault(item.label, item)
    return list(first.values())


def _labels(given: Sequence[int | None]) -> list[int]:
    """The labels, with the lowest that are free where none is given."""
    taken = {label for label in given if label is not None}
    free: Iterable[int] = (label for label in range(1, MAX_OBJECTS + 1) if label not in taken)
    numbers = iter(free)
    labels = [next(numbers, 0) if label is None else label for label in given]
    if not all(1 <= label <= MAX_OBJECTS for label in labels):
        raise CaseError(f"labels must be whole numbers 1..{MAX_OBJECTS}")
    return labels


def _box(prompt: Prompt, grid: Grid | None, number: int) -> Float64Array:
    """(6,) in voxel indices of the file."""
    numbers = np.array(prompt.numbers, np.float64)
    if prompt.space == PATIENT:
        if grid is None or grid.dimensions == 2:
            raise CaseError("pictures have no patient coordinates: give boxes in pixels")
        if len(numbers) not in (6, 24):
            raise CaseError(f"box {number} has {len(numbers)} numbers, expected 6 patient coordinates")
        ends = numbers.reshape(-1, 3)
        return grid.box(ends if len(ends) == 8 else ends[list(np.ndindex(2, 2, 2)), np.arange(3)])
    if len(numbers) == 4 and (grid is None or 1 in grid.size):
        flat = [axis for axis in range(3) if axis != _single(grid)]
        box = np.zeros(6)
        box[[flat[0], flat[1], flat[0] + 3, flat[1] + 3]] = numbers
        return box
    if len(numbers) == 6 and grid is None and numbers[2] == numbers[5] == 0:
        return numbers
    if len(numbers) != 6 or grid is None:
        expected = 4 if grid is None or 1 in grid.size else 6
        raise CaseError(f"box {number} has {len(numbers)} numbers, expected {expected}")
    return numbers


def _single(grid: Grid | None) -> int:
    """The axis of a single voxel."""
    return 2 if grid is None or grid.size[2] == 1 else grid.size.index(1)
