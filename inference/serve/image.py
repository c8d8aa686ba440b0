"""An image as a client sends it becomes one that is segmented."""

from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from ..arrays import Array
from ..cases.intensity import to_grey
from ..cases.slice_axis import slice_axis
from ..options import CT_WINDOW, Window
from .mask import mask_bytes
from .refused import Refused
from .wire import Packed

# The protocol says nothing of what an image shows. Where there is air as in CT, it is taken for one.
AIR = -500  # Hounsfield units, at most

_numbers = count(1)


@dataclass(frozen=True)
class Image:
    """An image of a session, in the axes of the client's array.

    Attributes:
        grey: (X, Y, Z) uint8.
        slices_across: the axis that its slices lie across, where what is drawn does not say it.
        number: one of its own.
    """

    grey: Array
    slices_across: int
    number: int

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.grey.shape
        return shape

    @property
    def held_bytes(self) -> int:
        """Of the image, and of the mask that is made of it."""
        return image_bytes(self.grey.size)


def image_bytes(voxels: int) -> int:
    """Bytes that an image of so many voxels takes as long as it is there."""
    return voxels + mask_bytes(voxels)


def conversion_bytes(packed: Packed) -> int:
    """Bytes that it takes at most to make an image of what a client sent, beside the image itself."""
    return 2 * packed.nbytes + packed.size  # the values; for percentiles those that are not 0, and which these are


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise Refused where it is not that of one channel of a volume."""
    if len(shape) != 4 or shape[0] != 1:
        raise Refused(400, f"the image has shape {shape}, expected (1, X, Y, Z): one channel of a volume")


def make_image(values: Array, properties: Any, window: Window | None) -> Image:
    """An image of values (1, X, Y, Z) of any real type.

    Args:
        properties: what the client says of it: `spacing`, mm from voxel to voxel along the three axes, if it does.
        window: what becomes 0..255. Where None: bytes stay as they are; CT, known by its air, is seen through the
            window of soft tissue, all else between two percentiles.

    Raises:
        Refused: the values are not finite.
    """
    values = values[0].view(np.uint8) if values.dtype == np.bool_ else values[0]
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Refused(400, "the image holds NaN or infinity")
    if window is None and values.dtype == np.uint8:
        grey = values
    elif window is None and low <= AIR:
        grey = to_grey(values, CT_WINDOW)
    else:
        grey = to_grey(values, window)
    return Image(grey, _slices_across(properties), next(_numbers))


def _slices_across(properties: Any) -> int:
    """The axis of the largest spacing; the first, where three sizes are not said."""
    spacing = properties.get("spacing") if isinstance(properties, dict) else None
    try:
        steps = np.array(spacing, np.float64)
    except (TypeError, ValueError):
        return 0
    is_sound = steps.shape == (3,) and np.isfinite(steps).all() and (steps > 0).all()
    return slice_axis(steps) if is_sound else 0
