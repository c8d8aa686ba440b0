"""From low-resolution logits to a mask of the original image, only where the mask can be positive.

A mask is the sign of the logits' bilinear interpolation (half-pixel centres, as `torch.nn.functional.interpolate` with
`align_corners=False`). An interpolated value lies between its four neighbours, so it can be positive only beside a
positive low-resolution logit: everything outside the bounding rectangle of those, grown by one, need not be computed.
"""

from typing import NamedTuple

import numpy as np

from ..arrays import BoolArray, Float32Array, IntArray

# Columns are interpolated as small matrix products, one per tile of this many output columns: wide enough for the
# product to be efficient, narrow enough that its band of source columns stays a few columns wide.
TILE_COLUMNS = 64
# OpenBLAS does a larger product (rows x columns x what is summed) on several threads, which wake up late and then stay
# awake on the cores that OpenVINO needs. The command line keeps it on one; who imports this package may not.
SMALL_PRODUCT = 2**18


class Span(NamedTuple):
    """Half-open range of rows or columns."""

    start: int
    stop: int

    def __bool__(self) -> bool:
        return self.stop > self.start

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)


class Region(NamedTuple):
    """Rectangle of the original image that may hold positive logits."""

    rows: Span
    columns: Span

    def shifted(self, down: int, right: int) -> "Region":
        """The same rectangle in an image whose origin lies this much further up and left."""
        return Region(
            Span(self.rows.start + down, self.rows.stop + down),
            Span(self.columns.start + right, self.columns.stop + right),
        )


def positive_region(logits: Float32Array, content: tuple[float, float], height: int, width: int) -> Region:
    """The rectangle of a `height` x `width` image that holds all positive interpolated `logits` (h, w).

    Args:
        content: rows and columns of the logits that show the image. Logits that are coarser than the encoder's input
            end with the image in the middle of a pixel; h and w are those numbers, rounded up.
    """
    positive = logits > 0
    return Region(
        _reached(np.any(positive, axis=1), content[0], height),
        _reached(np.any(positive, axis=0), content[1], width),
    )


def _reached(positive: BoolArray, content: float, size: int) -> Span:
    """Output indices whose interpolation touches a positive source index, along one axis."""
    indices = np.flatnonzero(positive)
    if len(indices) == 0:
        return Span(0, 0)
    scale = size / content
    # Source coordinate s = (i + 0.5) / scale - 0.5 touches the sources floor(s) and floor(s) + 1. One more index on
    # either side costs nothing and keeps rounding out of the argument.
    start = int((indices[0] - 0.5) * scale - 0.5) - 1
    stop = int((indices[-1] + 1.5) * scale - 0.5) + 2
    return Span(max(0, start), min(size, stop))


def bilinear(
    logits: Float32Array, content: tuple[float, float], height: int, width: int, region: Region
) -> Float32Array:
    """Interpolate `logits` (h, w) to `height` x `width` and return only the pixels of `region`.

    Args:
        content: as for `positive_region`.

    Returns:
        float32, (rows of the region, columns of the region).
    """
    first, weight = _taps(region.rows, logits.shape[0], content[0] / height)
    second = np.minimum(first + 1, logits.shape[0] - 1)
    rows = logits[first] * (1 - weight)[:, np.newaxis] + logits[second] * weight[:, np.newaxis]

    out = np.empty((len(rows), region.columns.stop - region.columns.start), np.float32)
    for start in range(0, out.shape[1], TILE_COLUMNS):
        stop = min(start + TILE_COLUMNS, out.shape[1])
        tile = Span(region.columns.start + start, region.columns.start + stop)
        band, weights = _band_matrix(tile, logits.shape[1], content[1] / width)
        at_once = max(1, SMALL_PRODUCT // weights.size)
        for row in range(0, len(rows), at_once):
            np.matmul(rows[row : row + at_once, band], weights, out=out[row : row + at_once, start:stop])
    return out


def _taps(span: Span, size_in: int, step: float) -> tuple[IntArray, Float32Array]:
    """First source index and weight of the second, for each output index of `span`; edges repeat the border.

    Args:
        step: from one output index to the next, in source pixels.
    """
    source = np.maximum((np.arange(span.start, span.stop) + 0.5) * step - 0.5, 0)
    first = np.minimum(source.astype(np.intp), size_in - 1)
    return first, (source - first).astype(np.float32)


def _band_matrix(span: Span, size_in: int, step: float) -> tuple[slice, Float32Array]:
    """Source columns that `span` needs, and the (source, output) matrix that interpolates them."""
    first, weight = _taps(span, size_in, step)
    second = np.minimum(first + 1, size_in - 1)
    matrix = np.zeros((second[-1] + 1 - first[0], len(first)), np.float32)
    output = np.arange(len(first))
    matrix[first - first[0], output] = 1 - weight
    matrix[second - first[0], output] += weight
    return slice(int(first[0]), int(second[-1]) + 1), matrix
