"""An image that is encoded once, and then segmented one box after the other, as people draw them."""

import numpy as np

from ..arrays import BoolArray, Float64Array
from ..cases.case import Case
from ..model.pair import Block, Embeddings, ModelPair
from .objects import boxes_on, encode_window, full_resolution
from .plan import in_convention
from .zoom import Window, plan_windows, whole_image

THE_OBJECT = np.zeros(1, np.intp)  # the index of the only one


class EncodedImage:
    """Keeps the embeddings of the whole image, and of the window that magnified the last small object."""

    def __init__(self, case: Case, model: ModelPair) -> None:
        """Encode the one slice of `case`; its boxes do not matter."""
        self._image, self._model = case.volume[0], model
        (self._whole,), _ = whole_image(0, *case.shape[1:])
        self._embeddings = {self._whole: self._encode(self._whole)}

    def segment(self, box: Float64Array, zoom: bool) -> tuple[BoolArray, float]:
        """Segment one object, as a case of this image and this box alone is.

        Args:
            box: (4,) `x_min, y_min, x_max, y_max`, voxel indices inside the image, the last pixel belongs to it.
            zoom: encode a window that magnifies the object, if it is small and the last one had another window.

        Returns:
            Its mask (H, W), and the IoU with the object that the model expects of it, 0..1.
        """
        height, width = self._image.shape[:2]
        prompt = in_convention(box[np.newaxis], height, width, self._model.metadata.box_convention)
        windows, chosen = plan_windows(prompt, height, width) if zoom else whole_image(1, height, width)
        window = windows[chosen[0]]
        (scored,) = self._model.decode([Block(self._embeddings_of(window), boxes_on(self._model, window, prompt))])
        score = float(scored.scores[0])
        mask: BoolArray = np.zeros((height, width), np.bool_)
        for found in full_resolution(self._model, scored.logits, window, THE_OBJECT):
            np.greater(found.logits, 0, out=mask[found.region.rows.slice, found.region.columns.slice])
        return mask, min(max(score, 0.0), 1.0)

    def _embeddings_of(self, window: Window) -> Embeddings:
        if window not in self._embeddings:
            self._embeddings = {self._whole: self._embeddings[self._whole], window: self._encode(window)}
        return self._embeddings[window]

    def _encode(self, window: Window) -> Embeddings:
        """Encode a window; copies, since the engine is going to write over what it gives."""
        return [embedding.copy() for embedding in encode_window(self._model, self._image, window)]
