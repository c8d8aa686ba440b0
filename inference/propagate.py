"""The baseline's way through a volume: from the middle slice of each box outward, each slice prompted by the last mask.

The baseline walks object by object and encodes a slice again for each. Here all objects go together, in one sweep up
and one sweep down, so that a slice is encoded once: an object takes part in the sweep up from its middle slice on, and
in the sweep down below it.
"""

from collections.abc import Callable

import numpy as np

from inference.arrays import Array, Float64Array
from inference.case import Case
from inference.model import Embeddings, Model
from inference.objects import decoded_objects, tight_box
from inference.options import Options
from inference.paint import Canvas
from inference.plan import View, view_of_slice
from inference.preprocess import Geometry, encoder_input

# The next slice's box is the last mask's tight box, grown on every side by this many pixels of the encoder's input.
MARGIN = 3.0


def propagate(case: Case, model: Model, segs: Array, options: Options, on_slice: Callable[[float], None]) -> None:
    """Segment all boxes slice by slice outward from their middle slices, paint `segs` (D, H, W) in place."""
    if len(case.boxes) == 0:
        return
    sweep = _Sweep(case, model, segs, options)
    low, high = case.boxes[:, 2].astype(int), case.boxes[:, 5].astype(int)
    middle = (low + high) // 2
    up, down = range(middle.min(), high.max() + 1), range(middle.max() - 1, low.min() - 1, -1)
    steps = len(up) + len(down)

    first_boxes = case.boxes[:, [0, 1, 3, 4]]
    prompts, middle_prompts = first_boxes.copy(), first_boxes.copy()
    for done, z in enumerate(up, start=1):
        view = view_of_slice(case.boxes, z, middle <= z, high >= z)
        needed_again = bool(((low <= z) & (z < middle)).any())
        sweep.segment(view, prompts, needed_again)
        at_middle = middle == z
        middle_prompts[at_middle] = prompts[at_middle]
        on_slice(done / steps)
    prompts = middle_prompts
    for done, z in enumerate(down, start=len(up) + 1):
        sweep.segment(view_of_slice(case.boxes, z, low <= z, z < middle), prompts, needed_again=False)
        on_slice(done / steps)


class _Sweep:
    """Segments one slice after another; remembers slices that the second sweep comes back to."""

    def __init__(self, case: Case, model: Model, segs: Array, options: Options) -> None:
        self.case, self.model, self.segs, self.options = case, model, segs, options
        self.geometry = Geometry(*case.shape[1:], model.metadata.input_size)
        self.first_boxes = case.boxes[:, [0, 1, 3, 4]]
        self.kept: dict[int, tuple[Embeddings, Canvas]] = {}

    def segment(self, view: View, prompts: Float64Array, needed_again: bool) -> None:
        """Segment the view's objects with their boxes in `prompts` (objects, 4), then set those to the next boxes."""
        if len(view.labels) == 0:
            return
        embeddings, canvas = self.kept.pop(view.z) if view.z in self.kept else self._start(view.z)
        objects = view.labels - 1
        prompted = View(view.z, view.labels, prompts[objects])
        prompts[objects] = self.first_boxes[objects]  # an empty mask prompts with the given box again
        for found in decoded_objects(self.model, embeddings, prompted, self.geometry, self.options.box_batch):
            canvas.paint(int(view.labels[found.position]), found.logits, found.region)
            box = tight_box(found)
            if box is not None:
                prompts[objects[found.position]] = self._grown(box)
        if needed_again:
            self.kept[view.z] = [embedding.copy() for embedding in embeddings], canvas

    def _start(self, z: int) -> tuple[Embeddings, Canvas]:
        image = encoder_input(self.case.volume[z], self.geometry, self.model.metadata.normalise)
        return self.model.encode(image), Canvas(self.segs[z], self.options.overlap)

    def _grown(self, box: Float64Array) -> Float64Array:
        _, height, width = self.case.shape
        margin = MARGIN * max(height, width) / self.geometry.input_size
        grown: Float64Array = np.clip(
            box + np.array([-margin, -margin, margin, margin]), 0, [width, height, width, height]
        )
        return grown
