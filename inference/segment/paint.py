"""Painting the masks of several objects into one label map."""

import numpy as np

from ..arrays import Array, Float32Array, Float64Array
from ..options import LATER, LOGIT
from .resample import Region

# Pixels that are compared at once: what is computed for them on the way stays in the cache.
STRIP_PIXELS = 1 << 16


def advantages(rule: str, boxes: Float64Array) -> Float32Array | None:
    """What is added to each object's logits before they are compared, (N,); None where they are not compared.

    Args:
        rule: one of `inference.options.OVERLAP_RULES`.
        boxes: (N, 4) boxes of the objects, pixels.
    """
    if rule == LATER:
        return None
    if rule == LOGIT:
        return np.zeros(len(boxes), np.float32)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)  # by the indices of its pixels, a box of one is 0 wide
    advantage: Float32Array = -np.log2(sides.prod(axis=1)).astype(np.float32)
    return advantage


class Canvas:
    """The label map of one slice, and what has to be remembered while objects are painted in any order."""

    def __init__(self, labels: Array, advantage: Float32Array | None) -> None:
        """`labels` (H, W), unsigned, is painted in place; `advantage` is that of all objects, from `advantages`."""
        self.labels = labels
        self.advantage = advantage
        self.best: Float32Array | None = None  # of each pixel that is painted, once one is

    def paint(self, label: int, logits: Float32Array, region: Region) -> None:
        """Paint the positive part of `logits`, which cover `region`, as `label`."""
        pixels = region.rows.slice, region.columns.slice
        labels = self.labels[pixels]
        if self.advantage is None:
            np.maximum(labels, label, out=labels, where=logits > 0, dtype=labels.dtype, casting="unsafe")
            return
        if self.best is None:
            self.best = np.zeros(self.labels.shape, np.float32)  # takes memory only where something is painted
        best, advantage = self.best[pixels], self.advantage[label - 1]
        height = max(1, STRIP_PIXELS // logits.shape[1])
        for top in range(0, len(logits), height):
            rows = slice(top, top + height)
            _paint_strip(label, logits[rows], advantage, labels[rows], best[rows])


def _paint_strip(label: int, logits: Float32Array, advantage: np.float32, labels: Array, best: Float32Array) -> None:
    """Paint one strip of a region; `labels` and `best` are changed in place."""
    score = logits + advantage
    wins = score > best
    ties = score == best
    if ties.any():
        wins |= ties & (label < labels)
    wins |= labels == 0
    wins &= logits > 0
    np.copyto(labels, label, where=wins, casting="unsafe")
    np.copyto(best, score, where=wins)
