"""Painting the masks of several objects into one label map."""

import numpy as np

from inference.arrays import Array, Float32Array
from inference.resample import Region

LATER = "later"  # the baseline's rule: of two objects that claim a pixel, the later box has it
LOGIT = "logit"  # the object with the higher logit has it; of equals, the earlier box
RULES = (LATER, LOGIT)


class Canvas:
    """The label map of one slice, and what has to be remembered while objects are painted in any order."""

    def __init__(self, labels: Array, rule: str) -> None:
        """`labels` (H, W), unsigned, is painted in place; `rule` is one of `RULES`."""
        self.labels = labels
        self.best = np.zeros(labels.shape, np.float32) if rule == LOGIT else None

    def paint(self, label: int, logits: Float32Array, region: Region) -> None:
        """Paint the positive part of `logits`, which cover `region`, as `label`."""
        window = region.rows.slice, region.columns.slice
        labels = self.labels[window]
        if self.best is None:
            np.maximum(labels, label, out=labels, where=logits > 0, dtype=labels.dtype, casting="unsafe")
            return
        best = self.best[window]
        wins = (logits > best) | ((logits == best) & (logits > 0) & (label < labels))
        labels[wins] = label
        best[wins] = logits[wins]
