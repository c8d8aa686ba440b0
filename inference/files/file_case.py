"""An image and its objects as a case of the runtime."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..arrays import Array
from ..cases.case import Case, make_case
from ..cases.intensity import to_grey
from ..errors import CaseError
from ..options import CT, CT_WINDOW, Window
from .image import Image
from .layout import Layout, describe, layout_of
from .prompts import Object


@dataclass(frozen=True)
class FileCase(Case):
    """A case that knows of which image it was made.

    Attributes:
        objects: of the boxes, in their order.
        image: its file, without its voxels where they are not measured; of a picture None.
        layout: from the file's axes to those of `volume`; of a picture None.
        values: (D, H, W) as stored, for measuring, where that is wanted.
    """

    objects: Sequence[Object] = field(default_factory=list)
    image: Image | None = None
    layout: Layout | None = None
    values: Array | None = None

    @property
    def held_bytes(self) -> int:
        """What is kept beside the volume."""
        return 0 if self.values is None or self.values is self.volume else self.values.nbytes

    def slice_name(self, z: int) -> str:
        """By its index in the file, along whichever axis."""
        return self.layout.slice_name(z) if self.layout else super().slice_name(z)

    @property
    def numbers(self) -> Sequence[int]:
        """The labels that the objects have in their file."""
        return [item.label for item in self.objects]


def file_case(image: Image, objects: Sequence[Object], window: Window | None, keep_values: bool) -> FileCase:
    """Bring an image and its boxes into the form of a case.

    Args:
        window: of intensities; where None, CT has its own and all else is shown between percentiles.
        keep_values: whether intensities are to be measured later.

    Raises:
        CaseError: a window for colours.
    """
    layout = layout_of(image.grid)
    arranged = layout.arrange(image.values)
    notes, warnings = list(image.notes), list(image.warnings)
    if image.is_colour:
        if window:
            raise CaseError("in colours, which have no --window")
        volume = np.ascontiguousarray(arranged)
    else:
        if image.modality == CT and not window and image.values.min() >= 0:
            warnings.append("CT without a negative value, which are no Hounsfield units: give their --window")
        window = window or (CT_WINDOW if image.modality == CT else None)
        volume = to_grey(arranged, window)
    is_volume = len(arranged) > 1
    if is_volume:
        notes.insert(0, f"{describe(layout, image.grid, image.has_geometry)}; {_shown(image, window)}")
    else:
        notes.insert(0, f"one slice; {_shown(image, window)}")
    of_file = np.array([item.box for item in objects])
    boxes = layout.boxes(of_file)
    case = make_case(volume if is_volume else volume[0], boxes if is_volume else boxes[:, [0, 1, 3, 4]])
    sizes = ", ".join(f"{axis} {size}" for axis, size in zip("xyz", image.grid.size, strict=True))
    problems = [
        f"box {i + 1}{_named(objects[i])} "
        + (f"is outside the image (voxels: {sizes})" if np.isfinite(of_file[i]).all() else "holds NaN or infinity")
        for i in np.flatnonzero(~case.usable).tolist()
    ]
    return FileCase(
        case.volume, case.boxes, case.is_volume, case.usable, problems, warnings + case.warnings, notes,
        objects, image if keep_values else image.without_values(), layout,
        arranged if keep_values and not image.is_colour else None,
    )  # fmt: skip


def picture_case(case: Case, objects: Sequence[Object]) -> FileCase:
    """A picture, which has been read already, and its objects."""
    values = case.volume if case.volume.ndim == 3 else None
    return FileCase(
        case.volume, case.boxes, case.is_volume, case.usable, case.problems, case.warnings, case.notes,
        objects, values=values,
    )  # fmt: skip


def _shown(image: Image, window: Window | None) -> str:
    """How intensities were brought to 0..255."""
    modality = image.modality or "modality not known"
    if image.is_colour:
        return f"{modality}, colours as they are"
    if window:
        return f"{modality}, window {window.level:g},{window.width:g}"
    return f"{modality}, intensities between the 0.5 and 99.5 percentile"


def _named(item: Object) -> str:
    return f" ({item.name})" if item.name else ""
