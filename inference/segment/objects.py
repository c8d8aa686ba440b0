"""The masks of one view's boxes, decoded in blocks."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..arrays import Array, Float32Array, Float64Array
from ..model.pair import Embeddings, ModelPair
from .blocks import Blocks
from .plan import View
from .preprocess import Geometry, encoder_input
from .resample import Region, bilinear, positive_region


class ObjectLogits(NamedTuple):
    """Full-resolution logits of one object, on the region of the slice where they can be positive.

    Attributes:
        label: the object's number, from 1.
        logits: float32, as large as `region`.
    """

    label: int
    logits: Float32Array
    region: Region


def encode_view(model: ModelPair, volume: Array, view: View) -> Embeddings:
    """Encode what a view shows of a volume (D, H, W[, 3]). The embeddings hold until the model's next `encode`."""
    left, top, right, bottom = view.window
    image = volume[view.z, top:bottom, left:right]
    return model.encode(encoder_input(image, _geometry(model, view), model.metadata.normalise))


def decoded_objects(model: ModelPair, embeddings: Embeddings, view: View, blocks: Blocks) -> Iterator[ObjectLogits]:
    """Decode all boxes of a view, a block at a time, so that memory does not grow with their number.

    Objects without a positive logit are left out.
    """
    geometry = _geometry(model, view)
    left, top, right, bottom = view.window
    inside = np.clip(view.boxes, [left, top, left, top], [right, bottom, right, bottom])
    boxes = geometry.boxes_to_input(inside - [left, top, left, top])
    for block in blocks.split(len(boxes)):
        unpadded = model.decode(embeddings, boxes[block])[:, : geometry.resized_height, : geometry.resized_width]
        for label, logits in zip(view.labels[block], unpadded, strict=True):
            region = positive_region(logits, geometry.height, geometry.width)
            if region.rows:
                full_size = bilinear(logits, geometry.height, geometry.width, region)
                yield ObjectLogits(int(label), full_size, region.shifted(top, left))


def tight_box(found: ObjectLogits) -> Float64Array | None:
    """Tight box (4,) of the object's positive pixels, as pixel edges, or None where there are none."""
    positive = found.logits > 0
    rows, columns = np.flatnonzero(np.any(positive, axis=1)), np.flatnonzero(np.any(positive, axis=0))
    if len(rows) == 0:
        return None
    top, left = found.region.rows.start, found.region.columns.start
    return np.array([left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1], np.float64)


def _geometry(model: ModelPair, view: View) -> Geometry:
    return Geometry(view.window.height, view.window.width, model.metadata.input_size)
