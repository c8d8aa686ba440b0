"""The masks of one image's boxes, decoded in blocks."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from inference.arrays import Float32Array, Float64Array
from inference.model import Embeddings, Model
from inference.plan import View
from inference.preprocess import Geometry
from inference.resample import Region, bilinear, positive_region


class ObjectLogits(NamedTuple):
    """Full-resolution logits of one object, on the region where they can be positive.

    Attributes:
        position: place of the object's box in its view.
        logits: float32, as large as `region`.
    """

    position: int
    logits: Float32Array
    region: Region


def decoded_objects(
    model: Model, embeddings: Embeddings, view: View, geometry: Geometry, box_batch: int
) -> Iterator[ObjectLogits]:
    """Decode all boxes of a view, `box_batch` at a time, so that memory does not grow with their number.

    Objects without a positive logit are left out.
    """
    boxes = geometry.boxes_to_input(view.boxes)
    for start in range(0, len(boxes), box_batch):
        block = model.decode(embeddings, boxes[start : start + box_batch])
        unpadded = block[:, : geometry.resized_height, : geometry.resized_width]
        for offset, logits in enumerate(unpadded):
            region = positive_region(logits, geometry.height, geometry.width)
            if region.rows:
                yield ObjectLogits(start + offset, bilinear(logits, geometry.height, geometry.width, region), region)


def tight_box(found: ObjectLogits) -> Float64Array | None:
    """Tight box (4,) of the object's positive pixels, as pixel edges, or None where there are none."""
    positive = found.logits > 0
    rows, columns = np.flatnonzero(positive.any(axis=1)), np.flatnonzero(positive.any(axis=0))
    if len(rows) == 0:
        return None
    top, left = found.region.rows.start, found.region.columns.start
    return np.array([left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1], np.float64)
