"""The whole plan of a case, made before any work starts: what is encoded and decoded, in which order and memory."""

import logging
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..arrays import Float64Array
from ..cases.boxes import pixel_edges
from ..cases.case import Case
from ..memory_limit import MB
from ..model.metadata import INDICES, Metadata
from ..options import LATER, PROPAGATE, Options
from .blocks import block_size
from .extent import Extents, extents_of
from .following import check_extent, follows
from .memory import Share, check_fits, share_out, state_bytes
from .route import Route, flatten, propagate
from .zoom import MAX_WINDOWS, MAX_WINDOWS_OF_A_VOLUME, Window, plan_windows, whole_image

log = logging.getLogger("qmedsam")


@dataclass(frozen=True)
class Plan:
    """The whole plan of a case, which `inference.segment.sweep` carries out.

    Attributes:
        prompts: (N, 4) `x_min, y_min, x_max, y_max` of all boxes, pixels of a slice, in the model's box convention.
        extents: from which slice to which all objects reach.
        follow: whether the volume decoder follows them, instead of the decoder seeing one slice on its own.
        windows: all windows, the first the whole image; they are the same on all slices.
        route: all visits to slices, in order, with the windows to encode and the objects to decode on each.
        overlap: who has a pixel that several objects claim, one of `inference.options.OVERLAP_RULES`.
        block_size: the most boxes in a block of the decoder.
        lanes: slices in work side by side.
        kept_bytes: memory for embeddings that are needed twice; what does not fit is encoded twice.
    """

    prompts: Float64Array
    extents: Extents
    follow: bool
    windows: list[Window]
    route: Route
    overlap: str
    block_size: int
    lanes: int
    kept_bytes: int


def make_plan(case: Case, metadata: Metadata, options: Options, memory: int, threads: int) -> Plan:
    """Plan a case.

    Args:
        metadata: of the model pair.
        options: the user's choices.
        memory: bytes that this process may use.
        threads: of the CPU, for all lanes together.

    Raises:
        CaseError: the case does not fit in the memory.
        SetupError: it is a volume, and the model cannot do with volumes what the user wants.
    """
    return plan_within(share_out(metadata, options.box_batch, memory, threads), case, metadata, options)


def plan_within(share: Share, case: Case, metadata: Metadata, options: Options) -> Plan:
    """The same, where it is said what the case has of the memory."""
    if case.is_volume:
        check_extent(options, metadata)
    lanes = share.lanes if case.is_volume else 1
    height, width = case.shape[1:]
    prompts = in_convention(case.boxes[:, [0, 1, 3, 4]], height, width, metadata.box_convention)
    objects = np.flatnonzero(case.usable)
    windows, chosen = whole_image(len(prompts), height, width)
    if options.zoom:
        most = MAX_WINDOWS_OF_A_VOLUME if case.is_volume else MAX_WINDOWS
        windows, chosen[objects] = plan_windows(prompts[objects], height, width, most)

    extents = extents_of(case, options)
    if case.is_volume and options.strategy == PROPAGATE:
        route = propagate(objects, extents, chosen)
    else:
        route = flatten(objects, extents, chosen, lanes)
    follow = case.is_volume and follows(options, metadata)

    visits = Counter(visit.z for visit in route.visits)
    kept_slices = 0 if options.overlap == LATER else sum(count > 1 for count in visits.values())
    # The volume decoder takes one object at a time; the decoder of an image is loaded before its windows are known.
    views = [len(view.objects) for visit in route.visits for view in visit.views] if case.is_volume else [len(objects)]
    size = 1 if follow else block_size(views, share.box_batch)
    states = state_bytes(metadata.model, len(objects), len(route.sweeps)) if follow else 0
    needed = check_fits(case, lanes, kept_slices, states, share.case_bytes)
    plan = Plan(
        prompts,
        extents,
        follow,
        windows,
        route,
        options.overlap,
        size,
        lanes,
        share.case_bytes - needed,
    )
    figures = (visits.total(), len(windows) - 1, plan.block_size, lanes, needed // MB, plan.kept_bytes // MB)
    log.debug("plan: %d visits, %d windows, blocks of %d, %d lanes, arrays %d MB, embeddings up to %d MB", *figures)
    return plan


def in_convention(boxes: Float64Array, height: int, width: int, convention: str) -> Float64Array:
    """Boxes (N, 4), given by voxel indices, as a model takes them.

    Args:
        height, width: of the image, which the edges do not leave.
        convention: `INDICES` or `PIXEL_EDGES` (see `inference.model.metadata`).
    """
    return boxes if convention == INDICES else pixel_edges(boxes, height, width)
