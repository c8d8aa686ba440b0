"""What a case is given of the memory that this process may use, decided before it is allocated."""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ..errors import does_not_fit
from ..memory_limit import LARGEST_RUNTIME, MB, USABLE
from ..options import Options

if TYPE_CHECKING:
    from ..cases.case import Case

log = logging.getLogger("qmedsam")

# Two slices of a volume at once only where the limit is at least this.
LIMIT_FOR_LANES = 4096 * MB
# Of what the runtime leaves, the part that decoding several boxes at once may take.
SHARE_OF_BOXES = 1 / 3
# Working memory per pixel of a slice: logits and scores at full size, what has been painted, and comparisons of them.
PIXEL_BYTES = 20
# Per pixel of a slice that is painted at more than one go: the best score of each pixel, kept in between.
CANVAS_BYTES = 4


class Cost(NamedTuple):
    """What a model takes at most, in float32 and not from a cache, in bytes.

    Attributes:
        runtime: interpreter, libraries, both models compiled, one image encoded, one box decoded.
        lanes: the same models compiled a second time, for two inferences at once.
        box: one box more in a block of the decoder, in each of these three. The engine does not give it back.
    """

    runtime: int
    lanes: int
    box: int


# Measured, and rounded up; a model that is not here is taken to be as large as the largest.
LITEMEDSAM = Cost(runtime=LARGEST_RUNTIME, lanes=560 * MB, box=36 * MB)
COSTS = {"light": Cost(runtime=220 * MB, lanes=100 * MB, box=10 * MB)}


def share_out(options: Options, model: str, limit: int) -> Options:
    """Share out the memory, once and before any work starts: boxes and slices at once; the rest for a case's arrays.

    Args:
        model: its name, from its metadata.
        limit: bytes that this process may use, from `inference.memory_limit`.
    """
    cost, usable = COSTS.get(model, LITEMEDSAM), int(limit * USABLE)
    lanes = options.lanes if limit >= LIMIT_FOR_LANES else 1
    fixed, blocks = (cost.runtime, 1) if lanes == 1 else (cost.runtime + cost.lanes, 1 + lanes)
    box_batch = max(1, min(options.box_batch, int((usable - fixed) * SHARE_OF_BOXES) // (blocks * cost.box)))
    case_bytes = max(0, usable - fixed - box_batch * blocks * cost.box)
    shares = (limit // MB, box_batch, lanes, case_bytes // MB)
    log.debug("memory limit %d MB: boxes at once %d, slices at once %d, %d MB for a case", *shares)
    return replace(options, lanes=lanes, box_batch=box_batch, case_bytes=case_bytes)


def fit(options: Options, case: "Case", kept_slices: int) -> Options:
    """Check that a case fits in its share, and give what is left of it to embeddings that are kept.

    Args:
        kept_slices: slices of the volume that are painted at more than one go (see `inference.segment.propagate`).

    Raises:
        CaseError: it does not fit.
    """
    depth, height, width = case.shape
    labels = depth * height * width * case.segs_dtype().itemsize
    in_work = height * width * PIXEL_BYTES + case.volume.nbytes // depth
    lanes = options.lanes if case.is_volume else 1
    needed = case.volume.nbytes + labels + lanes * in_work + kept_slices * height * width * CANVAS_BYTES
    if needed > options.case_bytes:
        raise does_not_fit(f"a case of {depth} x {height} x {width} voxels", needed, options.case_bytes)
    return replace(options, kept_bytes=options.case_bytes - needed)
