"""QMedSAM's way through a volume: every 3D box becomes the same 2D box on each of its slices."""

from collections.abc import Callable, Iterator

import numpy as np

from inference.arrays import Array
from inference.case import Case
from inference.lanes import Lanes
from inference.model import Model
from inference.objects import decoded_objects, encode_view
from inference.options import Options
from inference.paint import Canvas, advantages
from inference.plan import Plan


def flatten(
    case: Case, plan: Plan, model: Model, segs: Array, options: Options, on_slice: Callable[[float], None]
) -> None:
    """Encode every window of every slice that has a box once, decode its boxes in blocks, paint `segs` in place."""
    advantage = advantages(options.overlap, plan.boxes_2d)
    slices = [z for z in range(case.shape[0]) if np.any((plan.low <= z) & (z <= plan.high))]
    done = 0

    def on_step() -> None:
        nonlocal done
        done += 1
        on_slice(done / len(slices))

    def walk(some: list[int]) -> Iterator[None]:
        for z in some:
            canvas = Canvas(segs[z], advantage)
            for view in plan.views(z, (plan.low <= z) & (z <= plan.high), plan.boxes_2d):
                for found in decoded_objects(model, encode_view(model, case.volume, view), view, options.box_batch):
                    canvas.paint(found.label, found.logits, found.region)
            yield

    with Lanes(model.streams, on_step) as lanes:
        lanes.run(walk(slices[lane :: model.streams]) for lane in range(model.streams))
