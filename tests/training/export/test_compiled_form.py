"""What OpenVINO makes of the decoders that ship: maps are rounded to 8 bits by what makes them, in passing."""

import openvino
import pytest

from inference.model.metadata import DECODER, VOLUME_DECODER
from inference.model.pair import LOADED_QUICKLY
from tests.conftest import WEIGHTS

MAP = 32 * 32  # positions, from which on an operation of its own is felt


@pytest.mark.parametrize("file", [DECODER, VOLUME_DECODER])
def test_no_map_is_rounded_by_an_operation_of_its_own(file):
    settings = {"INFERENCE_PRECISION_HINT": "f32", **LOADED_QUICKLY}
    operations = openvino.Core().compile_model(WEIGHTS / file, "CPU", settings).get_runtime_model().get_ops()
    kinds = [(operation.get_rt_info()["layerType"].astype(str), operation) for operation in operations]
    assert sum(kind == "Convolution" for kind, _ in kinds) > 20
    rounding = [operation for kind, operation in kinds if kind == "FakeQuantize"]
    assert rounding  # of a few numbers for a box
    shapes = [operation.get_output_partial_shape(0) for operation in rounding]
    assert [str(shape) for shape in shapes if len(shape) == 4 and is_wide(shape)] == []


def is_wide(shape) -> bool:
    """Whether maps of this shape have several channels and many positions."""
    channels, height, width = (shape[axis].get_length() for axis in (1, 2, 3))
    return channels > 2 and height * width >= MAP
