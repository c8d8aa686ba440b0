"""A challenge case of an image or a volume with a label map: boxes as the challenge draws them, and objects numbered
as their boxes."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from inference.cases.case import segs_dtype
from inference.errors import CaseError
from training.data.labelled_case import LabelledCase
from training.data.targets import REFERENCE_SIDE
from training.scoring.drawn_boxes import MARGIN, moved_outward, seeded

MARGINS = {2: 0.1, 3: MARGIN}  # in 2D and in 3D
FEWEST_PIXELS, LEAST_SIDE = 30, 3  # of an object: px or voxels, and px of its box's sides where the image has 256
TOO_SMALL = f"under {FEWEST_PIXELS} px, or thinner than {LEAST_SIDE} px where the image has {REFERENCE_SIDE} a side"


class Prompted(NamedTuple):
    """The boxes of a case and what they ask for.

    Attributes:
        boxes: (N, 4) or (N, 6) int64, inclusive corners x, y(, z); z is exact.
        gts: (H, W) or (D, H, W), the object of the i-th box is i, from 1.
        left_out: number of labels that are too small for a box.
    """

    boxes: np.ndarray
    gts: np.ndarray
    left_out: int


def prompted(case: LabelledCase, name: str) -> Prompted:
    """A box around every label that is large enough, its sides in x and y moved outward by up to 10 % of its width or
    height, in volumes 5 %, to whole pixels, and clipped to the image.

    Args:
        name: of the case; together with an object's number, the seed of its box.

    Raises:
        CaseError: no label is large enough.
    """
    dimensions = case.gts.ndim
    size = np.array(case.gts.shape[:-3:-1])
    gts, boxes, left_out = np.zeros_like(case.gts), [], 0
    for label, window in enumerate(ndimage.find_objects(case.gts), start=1):
        if window is None:
            continue
        mask = case.gts[window] == label
        low, high = np.array([[side.start, side.stop - 1] for side in window[::-1]]).T
        thinnest = (high + 1 - low)[:2].min() * REFERENCE_SIDE / size.max()
        if np.count_nonzero(mask) < FEWEST_PIXELS or thinnest < LEAST_SIDE:
            left_out += 1
            continue
        number = len(boxes) + 1
        low[:2], high[:2] = moved_outward(low[:2], high[:2], MARGINS[dimensions], size, seeded(name, number))
        boxes.append([*low, *high])
        gts[window][mask] = number
    if not boxes:
        raise CaseError(
            f"no object to draw a box around: {left_out} {TOO_SMALL}" if left_out else "its labels are all 0"
        )
    return Prompted(np.array(boxes, np.int64), gts.astype(segs_dtype(len(boxes))), left_out)
