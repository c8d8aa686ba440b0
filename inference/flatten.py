"""QMedSAM's way through a volume: every 3D box becomes the same 2D box on each of its slices."""

from collections.abc import Callable

import numpy as np

from inference.arrays import Array
from inference.case import Case
from inference.model import Model
from inference.objects import decoded_objects, encode_view
from inference.options import Options
from inference.paint import Canvas, advantages
from inference.plan import Plan


def flatten(
    case: Case, plan: Plan, model: Model, segs: Array, options: Options, on_slice: Callable[[float], None]
) -> None:
    """Encode every window of every slice that has a box once, decode its boxes in blocks, paint `segs` in place."""
    depth = case.shape[0]
    advantage = advantages(options.overlap, plan.boxes_2d)
    for z in range(depth):
        taking_part = (plan.low <= z) & (z <= plan.high)
        if np.any(taking_part):
            canvas = Canvas(segs[z], advantage)
            for view in plan.views(z, taking_part, plan.boxes_2d):
                for found in decoded_objects(model, encode_view(model, case.volume, view), view, options.box_batch):
                    canvas.paint(found.label, found.logits, found.region)
        on_slice((z + 1) / depth)
