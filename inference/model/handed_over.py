"""What the graphs of a pair hand to one another: embeddings, and the states of objects.

In bf16 arithmetic these are numbers of 16 bits inside the graphs. Handed over in float32 they would be widened by the
one and narrowed again by the other, at every inference: a tenth of what a block of two boxes takes. They are handed
over as they are instead. The light model's masks on an image stay the same to the pixel; what was computed in float32
is rounded once more. numpy, which has no such type, shows their bits as float16; nothing on the way may ask what they
mean.
"""

from collections.abc import Iterable, Set

import numpy as np

from ..arrays import Array
from ..options import BF16
from .metadata import Metadata
from .openvino_runtime import Model, Node, Tensor, Type


def handed_over(metadata: Metadata) -> set[str]:
    """Names of the inputs and outputs, of any of the pair's graphs, that come from one of them or go to one."""
    return {*metadata.embeddings, *metadata.state, *(next_state(name) for name in metadata.state)}


def next_state(name: str) -> str:
    """Name of the output that is to be the state `name` on the next slice."""
    return f"next_{name}"


def as_inputs(values: Iterable[Array]) -> list[Array | Tensor]:
    """Embeddings or a state as inputs, where they lie: OpenVINO would copy an array whose port is bf16."""
    return [Tensor(part, part.shape, Type.bf16) if part.dtype == np.float16 else part for part in values]


def with_precision(model: Model, names: Set[str], precision: str) -> Model:
    """The model, changed in place so that inputs and outputs in `names` have the type of the arithmetic asked for.

    Not by OpenVINO's PrePostProcessor, which rearranges more, after which layers in 8 bits are not recognised as such.
    """
    if precision == BF16:
        for parameter in model.get_parameters():
            if names & parameter.output(0).get_names():
                _take_bf16(parameter)
        for result in model.get_results():
            if names & result.output(0).get_names():
                _give_bf16(result)
        model.validate_nodes_and_infer_types()
    return model


def _take_bf16(parameter: Node) -> None:
    from openvino import opset8  # only what is compiled needs it, not what comes from the cache

    readers = parameter.output(0).get_target_inputs()
    parameter.set_element_type(Type.bf16)
    widened = opset8.convert(parameter, "f32").output(0)
    for reader in readers:
        reader.replace_source_output(widened)


def _give_bf16(result: Node) -> None:
    from openvino import opset8

    source = result.input(0).get_source_output()
    narrowed, names = opset8.convert(source, "bf16").output(0), source.get_names()
    source.get_tensor().set_names(set())
    narrowed.get_tensor().set_names(names)
    result.input(0).replace_source_output(narrowed)
