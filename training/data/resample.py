"""Bringing the slices of a volume to one pixel spacing (Yu), slice by slice; the distance of slices stays."""

from dataclasses import replace

import cv2
import numpy as np

from training.data.labelled_case import LabelledCase


def at_pixel_spacing(case: LabelledCase, millimetres: float | None) -> LabelledCase:
    """A volume whose pixels are, to the nearest whole number of rows and columns, `millimetres` high and wide.

    Intensities as at run time, INTER_AREA where a slice shrinks and bilinear where it grows; labels by the nearest
    pixel. None changes nothing; 2D cases have no spacing and stay as they are.
    """
    if case.spacing is None or millimetres is None:
        return case
    size = np.array(case.gts.shape[1:])
    new = np.maximum(1, np.rint(size * case.spacing[1:] / millimetres)).astype(int)
    if (new == size).all():
        return case
    height, width = new.tolist()
    shrinks = height * width < size.prod()
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    imgs = np.stack([cv2.resize(image, (width, height), interpolation=kind) for image in case.imgs])
    gts = np.stack([cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) for labels in case.gts])
    return replace(case, imgs=imgs, gts=gts, spacing=np.append(case.spacing[:1], case.spacing[1:] * size / new))
