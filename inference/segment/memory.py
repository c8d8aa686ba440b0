"""What a case is given of the memory that this process may use, decided before it is allocated."""

from typing import TYPE_CHECKING, NamedTuple

from ..errors import does_not_fit
from ..memory_limit import MB, USABLE
from ..model.variant import SIDE_BY_SIDE

if TYPE_CHECKING:
    from ..cases.case import Case
    from ..model.metadata import Metadata

# Slices of a volume at once; more than one only where there is at least this much memory, and the models take no more
# than half of it.
MOST_LANES = 2
MEMORY_FOR_LANES = 4096 * MB
# Of what the runtime leaves, the part that decoding several boxes at once may take.
SHARE_OF_BOXES = 1 / 3
# Working memory per pixel of a slice: logits and scores at full size, what has been painted, and comparisons of them.
PIXEL_BYTES = 20
# Per pixel of a slice that is painted at more than one go: the best score of each pixel, kept in between.
CANVAS_BYTES = 4
KB = 2**10


class Cost(NamedTuple):
    """What a model takes at most, in float32 and not from a cache, in bytes.

    Attributes:
        runtime: interpreter, libraries, both models compiled, one image encoded, one box decoded.
        lanes: the same models compiled a second time, for two inferences at once.
        box: one box in a block of a decoder, in each of those that work side by side.
        volume_decoder: compiled beside the others, one object followed.
        state: what it hands on of an object from a slice to the next.
    """

    runtime: int
    lanes: int
    box: int
    volume_decoder: int = 60 * MB
    state: int = 300 * KB


# Measured, and rounded up; a model that is not here is taken to be as large as the largest.
LARGEST = MEDSAM = Cost(runtime=2300 * MB, lanes=1100 * MB, box=40 * MB)
COSTS = {
    "light": Cost(runtime=220 * MB, lanes=100 * MB, box=10 * MB),
    "litemedsam": Cost(runtime=500 * MB, lanes=560 * MB, box=36 * MB),
    "medsam_vit_b": MEDSAM,
}


class Share(NamedTuple):
    """What a run has of the memory, whatever its cases are.

    Attributes:
        lanes: slices of a volume in work at once.
        box_batch: boxes in a block of the decoder.
        case_bytes: for the arrays of one case.
    """

    lanes: int
    box_batch: int
    case_bytes: int


def share_out(metadata: "Metadata", box_batch: int, memory: int, threads: int) -> Share:
    """Share out the memory: boxes and slices at once; the rest for a case's arrays.

    Args:
        metadata: of the model pair.
        box_batch: boxes in a block that the user wants.
        memory: bytes that this process may use, from `inference.memory_limit`.
        threads: of the CPU; each lane needs one.
    """
    cost, usable = COSTS.get(metadata.model, LARGEST), int(memory * USABLE)
    runtime = cost.runtime + (cost.volume_decoder if metadata.state else 0)
    has_room = memory >= MEMORY_FOR_LANES and runtime + cost.lanes <= usable / 2
    lanes = min(MOST_LANES, threads) if has_room else 1
    fixed = runtime if lanes == 1 else runtime + cost.lanes
    boxes = min(SIDE_BY_SIDE, threads) * box_batch if box_batch > 1 else 1
    if boxes * cost.box > (usable - fixed) * SHARE_OF_BOXES:
        box_batch = boxes = 1  # not a few less: for each number the decoder would have to be compiled
    return Share(lanes, box_batch, max(0, usable - fixed - boxes * cost.box))


def held_by_others(resident: int, metadata: "Metadata", box_batch: int, memory: int, threads: int) -> int:
    """Bytes that the program around the runtime holds: what of `resident` the runtime cannot be holding.

    Args:
        resident: bytes that this process holds.
        metadata, box_batch, memory, threads: as for `share_out`.
    """
    share = share_out(metadata, box_batch, memory, threads)
    return max(0, resident - (int(memory * USABLE) - share.case_bytes))


def state_bytes(model: str, objects: int, sweeps: int) -> int:
    """Bytes of the states of objects that are followed: those on the slices they start from, and those of each sweep.

    Args:
        model: its name, from its metadata.
    """
    return objects * (1 + sweeps) * COSTS.get(model, LARGEST).state


def check_fits(case: "Case", lanes: int, kept_slices: int, states: int, allowed: int) -> int:
    """Bytes that the arrays of a case take.

    Args:
        kept_slices: slices that are painted at more than one go.
        states: bytes, from `state_bytes`.
        allowed: bytes, from `share_out`.

    Raises:
        CaseError: it is more than what is allowed.
    """
    depth, height, width = case.shape
    labels = depth * height * width * case.segs_dtype().itemsize
    in_work = height * width * PIXEL_BYTES + case.volume.nbytes // depth
    kept = case.held_bytes + kept_slices * height * width * CANVAS_BYTES + states
    needed = case.volume.nbytes + labels + lanes * in_work + kept
    if needed > allowed:
        raise does_not_fit(f"a case of {depth} x {height} x {width} voxels", needed, allowed)
    return needed
