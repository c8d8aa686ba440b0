"""A volume whose slices tell their number, with objects of known extent."""

import numpy as np

from training.data.labelled_case import LabelledCase

DEPTH, SIDE = 20, 48
EXTENTS = {1: (2, 14), 2: (5, 12), 3: (6, 7)}  # first and last slice by label; the last is too short to be followed


def labelled_volume() -> LabelledCase:
    """Slice z has grey value 10 z, and one row, z, that is white; objects are squares that shrink to their ends."""
    imgs = np.broadcast_to(10 * np.arange(DEPTH, dtype=np.uint8)[:, None, None], (DEPTH, SIDE, SIDE)).copy()
    imgs[np.arange(DEPTH), np.arange(DEPTH)] = 255
    gts = np.zeros((DEPTH, SIDE, SIDE), np.uint8)
    for label, (first, last) in EXTENTS.items():
        x, y = 12 * label, 30
        for z in range(first, last + 1):
            half = 2 + min(z - first, last - z, 3)
            gts[z, y - half : y + half, x - half : x + half] = label
    return LabelledCase(imgs, gts, np.float32([1, 1, 1]))
