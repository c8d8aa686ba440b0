"""QMedSAM's way through a volume: every 3D box becomes the same 2D box on each of its slices."""

from collections.abc import Callable, Iterator
from itertools import chain

from ..arrays import Array, BoolArray
from ..cases.case import Case
from ..model.pair import ModelPair
from ..options import Options
from .blocks import Blocks
from .lanes import Lanes
from .objects import decoded_objects, encode_view
from .paint import Canvas, advantages
from .plan import Plan


def flatten(
    case: Case, plan: Plan, model: ModelPair, segs: Array, options: Options, on_slice: Callable[[float], None]
) -> None:
    """Encode every window of every slice that has a box once, decode its boxes in blocks, paint `segs` in place."""
    advantage = advantages(options.overlap, plan.boxes_2d)
    objects = [(z, (plan.low <= z) & (z <= plan.high)) for z in range(case.shape[0])]
    slices = [(z, taking_part) for z, taking_part in objects if taking_part.any()]
    blocks = Blocks(chain.from_iterable(plan.view_sizes(taking_part) for _, taking_part in slices), options.box_batch)

    def walk(some: list[tuple[int, BoolArray]]) -> Iterator[None]:
        for z, taking_part in some:
            canvas = Canvas(segs[z], advantage)
            for view in plan.views(z, taking_part, plan.boxes_2d):
                for found in decoded_objects(model, encode_view(model, case.volume, view), view, blocks):
                    canvas.paint(found.label, found.logits, found.region)
            yield

    with Lanes(model.streams, len(slices), on_slice) as lanes:
        lanes.run(walk(slices[lane :: model.streams]) for lane in range(model.streams))
