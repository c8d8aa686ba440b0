"""What OpenVINO makes of the decoders that ship, as the runtime loads them: layers in 8 bits, to which maps are rounded
in passing, by what makes them."""

import openvino
import pytest

from inference.model.handed_over import handed_over, with_precision
from inference.model.metadata import DECODER, VOLUME_DECODER, read_metadata
from inference.model.variant import LOADED_QUICKLY
from inference.options import BF16, F32
from tests.conftest import WEIGHTS

MAP = 32 * 32  # positions, from which on an operation of its own is felt


def operations(file: str, precision: str) -> list:
    core = openvino.Core()
    model = with_precision(core.read_model(WEIGHTS / file), handed_over(read_metadata(WEIGHTS / file)), precision)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision, **LOADED_QUICKLY})
    return compiled.get_runtime_model().get_ops()


def said(operation, what: str) -> str:
    return operation.get_rt_info()[what].astype(str)


@pytest.mark.parametrize("precision", [F32, BF16])
@pytest.mark.parametrize(("file", "convolutions", "linear"), [(DECODER, 9, 4), (VOLUME_DECODER, 13, 2)])
def test_layers_are_in_8_bits_and_no_map_is_rounded_by_an_operation_of_its_own(file, convolutions, linear, precision):
    made = operations(file, precision)
    in_8_bits = [
        said(operation, "layerType") for operation in made if said(operation, "primitiveType").endswith(("I8", "i8"))
    ]
    assert (in_8_bits.count("Convolution"), in_8_bits.count("FullyConnected")) == (convolutions, linear)

    rounding = [operation for operation in made if said(operation, "layerType") == "FakeQuantize"]
    assert rounding  # of a few numbers for a box
    shapes = [operation.get_output_partial_shape(0) for operation in rounding]
    assert [str(shape) for shape in shapes if len(shape) == 4 and is_wide(shape)] == []


def is_wide(shape) -> bool:
    """Whether maps of this shape have several channels and many positions."""
    channels, height, width = (shape[axis].get_length() for axis in (1, 2, 3))
    return channels > 2 and height * width >= MAP
