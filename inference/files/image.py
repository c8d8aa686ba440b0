"""An image as its file has it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from ..arrays import Array
from ..errors import CaseError, does_not_fit
from ..options import CT
from .grid import Grid

CT_BELOW = -500  # values below this, which is air in a scan, mark CT where nothing else says what an image is
# How often the values are in memory while they are read, and while percentiles are taken (a selection, its partition).
COPIES = 3
# Bytes of a voxel: 8 bits and labels of 16; labels as numbered by the user, in the order of the file, its library's.
GREY_AND_LABELS = 3
WRITING = 6


class Choice(NamedTuple):
    """What the user says of files that hold several images, or do not say what they are.

    Attributes:
        volume: of a file of four dimensions, counted from 0 as viewers do; None where none is chosen.
        series: of a folder with several, counted from 1 as the refusal lists them.
        modality: `CT`, `MR`...; empty where the file is to say so, or its values.
    """

    volume: int | None = None
    series: int | None = None
    modality: str = ""


@dataclass(frozen=True)
class Image:
    """Voxels of any scanner.

    Attributes:
        values: (Z, Y, X), real, as stored, in the unit of the modality; or (Z, Y, X, 3) uint8 for colours.
        grid: where they lie.
        modality: as DICOM abbreviates it; empty where it is not known.
        notes, warnings: how it was understood, and what was repaired, one line each.
        slices: the DICOM files that it was read from, along z of the grid.
        has_geometry: whether the file says where its voxels lie; else they are 1 mm apart.
    """

    values: Array
    grid: Grid
    modality: str
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    slices: Sequence[Path] = ()
    has_geometry: bool = True

    def without_values(self) -> "Image":
        """All but the voxels, whose memory is free then."""
        return replace(self, values=self.values[:0].copy())

    @property
    def is_colour(self) -> bool:
        """Whether `values` are colours."""
        return self.values.ndim == 4


def check_fits(size: Sequence[int], value_bytes: int, max_bytes: int) -> None:
    """Hold what a header says against the memory, before anything is read.

    Args:
        size: voxels along all axes, those of the file that are not chosen included.
        value_bytes: of a voxel, all its channels together.

    Raises:
        CaseError: it needs more than `max_bytes`.
    """
    voxels = 1
    for side in size:
        voxels *= int(side)
    if voxels == 0:
        raise CaseError(f"is empty: {' x '.join(map(str, size))} voxels")
    needed = voxels * (GREY_AND_LABELS + max(COPIES * value_bytes, value_bytes + WRITING))
    if needed > max_bytes:
        raise does_not_fit(f"an image of {' x '.join(map(str, size))} voxels", needed, max_bytes)


def known_modality(said: str, by_file: str, values: Array) -> tuple[str, str]:
    """What an image is, and the line that says how that is known; empty where the file or the user says so.

    Args:
        said: by the user. by_file: what the file has to say.
    """
    if said or by_file:
        return said or by_file, ""
    if values.dtype.kind in "if" and values.min() < CT_BELOW:
        return CT, f"taken for CT, since it has values below {CT_BELOW}; --modality says otherwise"
    return "", "taken for no CT, since it has no values below -500; --modality CT where it is"
