"""The baseline's way through a volume: from the middle slice of each box outward, each slice prompted by the last mask.

The baseline walks object by object and encodes a slice again for each. Here all objects go together, in one sweep up
and one sweep down, so that a window of a slice is encoded once: an object takes part in the sweep up from its middle
slice on, and in the sweep down below it.
"""

from collections.abc import Callable

import numpy as np

from inference.arrays import Array, BoolArray, Float64Array
from inference.case import Case
from inference.model import Embeddings, Model
from inference.objects import decoded_objects, encode_view, tight_box
from inference.options import Options
from inference.paint import Canvas, advantages
from inference.plan import Plan, View
from inference.zoom import Window

# The next slice's box is the last mask's tight box, grown on every side by this many pixels of the encoder's input.
MARGIN = 3.0


def propagate(
    case: Case, plan: Plan, model: Model, segs: Array, options: Options, on_slice: Callable[[float], None]
) -> None:
    """Segment all boxes slice by slice outward from their middle slices, paint `segs` (D, H, W) in place."""
    if len(plan.boxes) == 0:
        return
    sweeps = _Sweeps(case, plan, model, segs, options)
    low, high, middle = plan.low, plan.high, (plan.low + plan.high) // 2
    up, down = range(middle.min(), high.max() + 1), range(middle.max() - 1, low.min() - 1, -1)
    steps = len(up) + len(down)

    prompts, prompts_below = plan.boxes_2d, plan.boxes_2d
    for done, z in enumerate(up, start=1):
        sweeps.segment(z, (middle <= z) & (z <= high), prompts, waiting=(low <= z) & (z < middle))
        prompts_below[middle == z] = prompts[middle == z]
        on_slice(done / steps)
    for done, z in enumerate(down, start=len(up) + 1):
        sweeps.segment(z, (low <= z) & (z < middle), prompts_below, waiting=np.zeros(len(low), bool))
        on_slice(done / steps)


class _Sweeps:
    """Segments slice after slice; keeps what the sweep down comes back to, until then."""

    def __init__(self, case: Case, plan: Plan, model: Model, segs: Array, options: Options) -> None:
        self.case, self.plan, self.model, self.segs, self.options = case, plan, model, segs, options
        self.advantage = advantages(options.overlap, plan.boxes_2d)
        self.kept_embeddings: dict[tuple[int, Window], Embeddings] = {}
        self.kept_canvases: dict[int, Canvas] = {}

    def segment(self, z: int, taking_part: BoolArray, prompts: Float64Array, waiting: BoolArray) -> None:
        """Segment some objects on slice `z`.

        Args:
            taking_part: (N,) the objects.
            prompts: (N, 4) their boxes; becomes, for these objects, their boxes on the next slice.
            waiting: (N,) objects that will be segmented on this slice by the other sweep.
        """
        canvas = self.kept_canvases.pop(z, None) or Canvas(self.segs[z], self.advantage)
        windows_kept = {self.plan.windows[index] for index in self.plan.chosen[waiting]}
        for view in self.plan.views(z, taking_part, prompts):
            embeddings = self.kept_embeddings.pop((z, view.window), None) or encode_view(
                self.model, self.case.volume, view
            )
            self._segment_view(view, embeddings, canvas, prompts)
            if view.window in windows_kept:
                self.kept_embeddings[z, view.window] = [embedding.copy() for embedding in embeddings]
        if windows_kept:
            self.kept_canvases[z] = canvas

    def _segment_view(self, view: View, embeddings: Embeddings, canvas: Canvas, prompts: Float64Array) -> None:
        objects = view.labels - 1
        prompts[objects] = self.plan.boxes_2d[objects]  # after an empty mask, the given box prompts again
        for found in decoded_objects(self.model, embeddings, view, self.options.box_batch):
            canvas.paint(found.label, found.logits, found.region)
            box = tight_box(found)
            if box is not None:
                prompts[found.label - 1] = self._grown(box, view.window)

    def _grown(self, box: Float64Array, window: Window) -> Float64Array:
        _, height, width = self.case.shape
        margin = MARGIN * max(window.height, window.width) / self.model.metadata.input_size
        outward = np.array([-margin, -margin, margin, margin])
        grown: Float64Array = np.clip(box + outward, 0, [width, height, width, height])
        return grown
