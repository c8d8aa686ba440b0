"""From a window of a slice to its embeddings, and from boxes on it to the logits of their objects."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..arrays import Array, Float32Array, Float64Array, IntArray
from ..model.pair import Embeddings, ModelPair
from .preprocess import Geometry, encoder_input
from .resample import Region, bilinear, positive_region
from .zoom import Window


class ObjectLogits(NamedTuple):
    """Full-resolution logits of one object, on the region of the slice where they can be positive.

    Attributes:
        label: the object's number, from 1.
        logits: float32, as large as `region`.
    """

    label: int
    logits: Float32Array
    region: Region


def encode_window(model: ModelPair, image: Array, window: Window) -> Embeddings:
    """Encode what a window shows of a slice (H, W[, 3]). The embeddings hold until this thread's next `encode`."""
    left, top, right, bottom = window
    return model.encode(
        encoder_input(image[top:bottom, left:right], _geometry(model, window), model.metadata.normalise)
    )


def boxes_on(model: ModelPair, window: Window, boxes: Float64Array) -> Float32Array:
    """Prompts (n, 4), pixels of the slice in the model's box convention, as input pixels of a window."""
    left, top, right, bottom = window
    inside = np.clip(boxes, [left, top, left, top], [right, bottom, right, bottom])
    return _geometry(model, window).boxes_to_input(inside - [left, top, left, top])


def full_resolution(
    model: ModelPair, low_res_logits: Float32Array, window: Window, objects: IntArray
) -> Iterator[ObjectLogits]:
    """Bring logits (n, S, S) to full resolution, one object after the other; those without a positive one are left out.

    Args:
        window: on which the objects were decoded.
        objects: (n,) their indices.
    """
    geometry, (left, top, _, _) = _geometry(model, window), window
    ratio = model.metadata.logit_size / model.metadata.input_size
    content = geometry.resized_height * ratio, geometry.resized_width * ratio
    unpadded = low_res_logits[:, : math.ceil(content[0]), : math.ceil(content[1])]
    for index, logits in zip(objects, unpadded, strict=True):
        region = positive_region(logits, content, window.height, window.width)
        if region.rows:
            full_size = bilinear(logits, content, window.height, window.width, region)
            yield ObjectLogits(int(index) + 1, full_size, region.shifted(top, left))


def tight_box(found: ObjectLogits) -> Float64Array | None:
    """Tight box (4,) of the object's positive pixels, as pixel edges, or None where there are none."""
    positive = found.logits > 0
    rows, columns = np.flatnonzero(np.any(positive, axis=1)), np.flatnonzero(np.any(positive, axis=0))
    if len(rows) == 0:
        return None
    top, left = found.region.rows.start, found.region.columns.start
    return np.array([left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1], np.float64)


def _geometry(model: ModelPair, window: Window) -> Geometry:
    return Geometry(window.height, window.width, model.metadata.input_size)
