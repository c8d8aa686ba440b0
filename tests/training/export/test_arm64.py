"""What graphs must not have for OpenVINO to take them on ARM64: reductions over several axes at once."""

from pathlib import Path

import pytest

from inference.model.metadata import read_metadata
from tests.conftest import WEIGHTS
from tests.support.engines import compile_openvino


def reductions_over_several_axes(path: Path) -> list[str]:
    """Names of those that OpenVINO would run; reductions that follow each other it has merged into one."""
    operations = compile_openvino(path).get_runtime_model().get_ops()
    reductions = [operation for operation in operations if operation.get_rt_info()["layerType"].astype(str) == "Reduce"]
    axes = {reduction.get_friendly_name(): reduction.input(1).get_shape() for reduction in reductions}
    return [name for name, shape in axes.items() if shape != [1]]


def refused(folder: Path) -> dict[str, list[str]]:
    found = {name: reductions_over_several_axes(folder / name) for name in read_metadata(folder / "encoder.onnx").files}
    return {name: reductions for name, reductions in found.items() if reductions}


@pytest.mark.parametrize("folder", [WEIGHTS, WEIGHTS / "litemedsam"], ids=["light", "litemedsam"])
def test_no_graph_that_ships_reduces_several_axes_at_once(folder):
    assert refused(folder) == {}


def test_no_graph_of_the_light_model_does_once_exported(following_pair):
    assert refused(following_pair) == {}


def test_no_graph_of_litemedsam_does_once_exported(untrained):
    assert refused(untrained("litemedsam")[1]) == {}
