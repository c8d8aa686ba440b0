"""Segmenting one case: the way from its boxes to its label map."""

from collections.abc import Callable

import numpy as np

from ..arrays import Array
from ..cases.case import Case
from ..model.pair import ModelPair
from ..options import FLATTEN, PROPAGATE, Options
from .flatten import flatten
from .plan import Plan, make_plan
from .propagate import propagate

WAYS = {FLATTEN: flatten, PROPAGATE: propagate}


def plan_of(case: Case, model: ModelPair, options: Options) -> Plan:
    """Which windows of the case are encoded, and which boxes are decoded on each."""
    return make_plan(case.boxes, *case.shape[1:], model.metadata, options.zoom)


def segment(
    case: Case, plan: Plan, model: ModelPair, options: Options, on_slice: Callable[[float], None] = lambda _: None
) -> Array:
    """Segment every box of a case.

    Args:
        plan: from `plan_of`.
        on_slice: called with the finished fraction, 0..1, after every slice.

    Returns:
        `segs`: (H, W), or (D, H, W) for a volume; 0 is background, i the object of the i-th box, from 1.
    """
    model.prepare(options.lanes if case.is_volume else 1)
    segs = np.zeros(case.shape, case.segs_dtype)
    strategy = WAYS[options.strategy] if case.is_volume else flatten
    strategy(case, plan, model, segs, options, on_slice)
    return segs if case.is_volume else segs[0]
