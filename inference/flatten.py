"""QMedSAM's way through a volume: every 3D box becomes the same 2D box on each of its slices."""

from collections.abc import Callable

from inference.arrays import Array
from inference.case import Case
from inference.model import Model
from inference.objects import decoded_objects
from inference.options import Options
from inference.paint import Canvas
from inference.plan import flattened_views
from inference.preprocess import Geometry, encoder_input


def flatten(case: Case, model: Model, segs: Array, options: Options, on_slice: Callable[[float], None]) -> None:
    """Encode every slice that has a box once, decode its boxes in blocks, paint `segs` (D, H, W) in place."""
    geometry = Geometry(*case.shape[1:], model.metadata.input_size)
    views = flattened_views(case.boxes)
    for done, view in enumerate(views, start=1):
        embeddings = model.encode(encoder_input(case.volume[view.z], geometry, model.metadata.normalise))
        canvas = Canvas(segs[view.z], options.overlap)
        for found in decoded_objects(model, embeddings, view, geometry, options.box_batch):
            canvas.paint(int(view.labels[found.position]), found.logits, found.region)
        on_slice(done / len(views))
