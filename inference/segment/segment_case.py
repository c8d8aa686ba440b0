"""Segmenting one case: the way from its boxes to its label map. Everyone who segments comes through here."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..arrays import Array
from ..cases.case import Case
from ..model.pair import ModelPair
from ..options import Options
from .plan import make_plan
from .sweep import sweep
from .zoom import Window


class Segmentation(NamedTuple):
    """What came of a case.

    Attributes:
        segs: (H, W), or (D, H, W) for a volume; 0 is background, i the object of the i-th box, from 1.
        windows: those that magnified small objects; the same on all slices.
    """

    segs: Array
    windows: list[Window]


def segment_case(
    case: Case, model: ModelPair, options: Options, memory: int, on_step: Callable[[float], None] = lambda _: None
) -> Segmentation:
    """Plan a case, and segment every box of it that can be used.

    Args:
        memory: bytes that this process may use.
        on_step: called with the finished fraction, 0..1, from time to time.

    Raises:
        CaseError: the case does not fit in the memory.
        SetupError: the model cannot be loaded, or cannot do with volumes what the user wants.
    """
    plan = make_plan(case, model.metadata, options, memory, model.threads)
    model.prepare(plan.lanes, plan.follow, plan.block_size)
    segs = np.zeros(case.shape, case.segs_dtype)
    sweep(case, plan, model, segs, on_step)
    return Segmentation(segs if case.is_volume else segs[0], plan.windows[1:])
