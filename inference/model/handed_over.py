"""What the graphs of a pair hand to one another: embeddings, and the states of objects.

In bf16 arithmetic these are numbers of 16 bits inside the graphs. Handed over in float32 they would be widened by the
one and narrowed again by the other, at every inference: a tenth of what a block of two boxes takes. They are handed
over as they are instead. The light model's masks on an image stay the same to the pixel; what was computed in float32
is rounded once more. numpy, which has no such type, shows their bits as float16; nothing on the way may ask what they
mean.
"""

from collections.abc import Collection

from ..options import BF16
from .metadata import Metadata
from .openvino_runtime import Model, Type


def handed_over(metadata: Metadata) -> list[str]:
    """Names of the inputs and outputs, of any of the pair's graphs, that come from one of them or go to one."""
    return [*metadata.embeddings, *metadata.state, *(next_state(name) for name in metadata.state)]


def next_state(name: str) -> str:
    """Name of the output that is to be the state `name` on the next slice."""
    return f"next_{name}"


def with_precision(model: Model, names: Collection[str], precision: str) -> Model:
    """The model, with those of its inputs and outputs that are named in `names` in the type of its arithmetic."""
    if precision != BF16:
        return model
    from openvino.preprocess import PrePostProcessor  # only what is compiled needs it, not what was

    processor = PrePostProcessor(model)
    for ports, tensor in ((model.inputs, processor.input), (model.outputs, processor.output)):
        for name in {port.any_name for port in ports}.intersection(names):
            tensor(name).tensor().set_element_type(Type.bf16)
    return processor.build()
