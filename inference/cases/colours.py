"""Colours of objects in overlays: neighbours in space get colours that are far apart, to the colour-blind too."""

import cv2
import numpy as np

from ..arrays import Array, Float32Array, Float64Array

# Blue, green, red: colours that show on dark images and on tissue, chosen by search to lie as far apart as so many can,
# to normal eyes and without the middle cones (by 30 in Lab).
PALETTE = np.array(
    [
        (255, 254, 34),  # cyan first: of all colours the one that tissue never has
        (0, 85, 255),  # orange
        (255, 127, 0),  # azure
        (144, 255, 255),  # pale yellow
        (229, 58, 230),  # magenta
        (170, 255, 0),  # spring green
        (85, 0, 255),  # crimson
        (0, 255, 212),  # lime
        (141, 82, 200),  # mulberry
    ],
    np.uint8,
)
# Linear red, green and blue as seen without the middle cones, the commonest colour blindness (Machado et al. 2009).
DEUTERANOPIA = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]], np.float32)
GAMMA = 2.2  # of a display
HARDLY_APART = 10.0  # distance in Lab at which two colours are all but one
# With more objects nobody can tell which colour is whose, and the search would take seconds.
MOST_TOLD_APART = 2000


def choose_colours(boxes: Float64Array) -> Array:
    """A colour for each object, from the first to the last: the one that repels least those chosen around it.

    Args:
        boxes: (N, 6) in the common form (see `inference.cases.boxes`).

    Returns:
        (N, 3) uint8, blue, green, red.
    """
    count = len(boxes)
    if count > MOST_TOLD_APART:
        return PALETTE[np.arange(count) % len(PALETTE)]
    likeness, chosen = _likeness(), np.zeros(count, np.intp)
    for i, box in enumerate(boxes):
        gaps = np.maximum(np.maximum(boxes[:i, :3] - box[3:], box[:3] - boxes[:i, 3:]), 0)
        closeness = 1 / (1 + np.linalg.norm(gaps, axis=1) / (1 + (box[3:] - box[:3]).max())) ** 2
        around = np.bincount(chosen[:i], closeness, minlength=len(PALETTE))
        chosen[i] = np.argmin(likeness @ around)
    return PALETTE[chosen]


def _likeness() -> Float32Array:
    """How much alike the colours of the palette are to each other, (K, K), in the eyes that tell them apart worst."""
    rgb = PALETTE[:, ::-1].astype(np.float32) / 255
    without_middle_cones = np.clip(rgb**GAMMA @ DEUTERANOPIA.T, 0, 1) ** (1 / GAMMA)
    seen = [cv2.cvtColor(colours[np.newaxis], cv2.COLOR_RGB2Lab)[0] for colours in (rgb, without_middle_cones)]
    distance = np.min([np.linalg.norm(lab[:, np.newaxis] - lab, axis=2) for lab in seen], axis=0)
    likeness: Float32Array = 1 / (distance**2 + HARDLY_APART**2)
    return likeness
