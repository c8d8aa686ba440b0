"""The third graph of a model that follows objects: as in torch from slice to slice."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from inference.cases.case import Case, read_case
from inference.model.metadata import VOLUME_DECODER, check_content, read_metadata
from inference.model.pair import ModelPair
from inference.options import Options
from inference.segment.segment_case import segment_case
from tests.support.engines import run_onnxruntime
from tests.support.parity import relative_error
from tests.support.small_sam import small_sam
from training.data.phantoms import phantom_volume
from training.export.onnx_pair import describe, embedding_names, write_pair
from training.scoring.torch_model import TorchModel

TOLERANCE = 1e-4  # relative, in float32


@pytest.fixture
def pair(following_pair, tmp_path):
    pair = ModelPair(following_pair, precision="f32", threads=1, cache=tmp_path / "cache")
    yield pair
    pair.close()


def prompts(seed: int, is_told: bool = True) -> list[np.ndarray]:
    """Box, place and neighbours of an object, whose extent is told or not."""
    rng = np.random.default_rng(seed)
    box = np.sort(rng.uniform(0, 256, (1, 2, 2)), axis=1).reshape(1, 4)
    place = rng.integers(0, 20, (1, 3))
    if not is_told:
        place[:, :2] = -1
    neighbours = rng.random((1, 2, 64, 64)) < 0.2
    return [part.astype(np.float32) for part in (box, place, neighbours)]


@pytest.mark.parametrize("is_told", [True, False])
def test_two_slices_in_a_row_are_those_of_torch(following, pair, is_told):
    torch_model = TorchModel(following)
    images = np.random.default_rng(0).random((2, 1, 3, 256, 256), dtype=np.float32)
    box, place, neighbours = prompts(4, is_told)
    state, torch_state = None, None
    for image in images:
        found = pair.follow(pair.encode(image), box, place, neighbours, state)
        expected = torch_model.follow(torch_model.encode(image), box, place, neighbours, torch_state)
        shapes = [(1, 256, 256), (1, 1, 64, 64), (1, 16, 64, 64), (1, 32)]
        for part in (found, expected):
            assert [values.shape for values in (part.logits, *part.state)] == shapes
        for values in zip(flat(found), flat(expected), strict=True):
            assert relative_error(*values) < TOLERANCE
        state, torch_state = [values.copy() for values in found.state], expected.state
        place = place + np.float32([0, 0, 1])
    without = pair.follow(pair.encode(images[1]), box, place, neighbours, None)
    assert relative_error(without.logits, expected.logits) > 100 * TOLERANCE  # what was handed on counts


def flat(followed) -> tuple[np.ndarray, ...]:
    return followed.logits, np.float32([followed.presence]), *followed.state


def test_onnxruntime_agrees(following, following_pair):
    image = np.random.default_rng(1).random((1, 3, 256, 256), dtype=np.float32)
    box, place, neighbours = prompts(3)
    embeddings = run_onnxruntime(following_pair / "encoder.onnx", {"image": image})
    state = {"mask": (1, 1, 64, 64), "keys": (1, 16, 64, 64), "reference": (1, 32)}
    inputs = dict(zip(embedding_names(4), embeddings, strict=True)) | {"boxes": box, "place": place}
    inputs["neighbours"] = neighbours
    inputs |= {name: np.zeros(shape, np.float32) for name, shape in state.items()}
    found = run_onnxruntime(following_pair / VOLUME_DECODER, inputs)
    torch_model = TorchModel(following)
    expected = torch_model.follow(torch_model.encode(image), box, place, neighbours, None)
    assert max(relative_error(*values) for values in zip(found, flat(expected), strict=True)) < TOLERANCE


def test_all_three_files_say_the_same_of_themselves(following_pair):
    files = ["decoder.onnx", "encoder.onnx", VOLUME_DECODER]
    assert sorted(path.name for path in following_pair.glob("*.onnx")) == files
    metadata = {read_metadata(following_pair / name) for name in files}
    (metadata,) = metadata
    assert metadata.state == ("mask", "keys", "reference")
    check_content(following_pair, metadata)


def test_names_and_sizes_of_the_graph(following_pair):
    graph = onnx.load(following_pair / VOLUME_DECODER).graph
    state = ["mask", "keys", "reference"]
    assert [port.name for port in graph.input] == [*embedding_names(4), "boxes", "place", "neighbours", *state]
    assert [port.name for port in graph.output] == ["low_res_logits", "presence", *(f"next_{name}" for name in state)]
    # One object: of sizes that it knows OpenVINO makes a quicker graph.
    assert {port.type.tensor_type.shape.dim[0].dim_value for port in (*graph.input, *graph.output)} == {1}


def volume_case(folder: Path) -> Case:
    phantom = phantom_volume((6, 64, 64), n_boxes=2, seed=1)
    np.savez(folder / "3DBox_CT_0001.npz", imgs=phantom.imgs, boxes=phantom.boxes, spacing=phantom.spacing)
    return read_case(folder / "3DBox_CT_0001.npz", 2**30)


def test_a_volume_is_followed_alike_by_the_pair_and_by_torch(following, pair, tmp_path):
    case, memory = volume_case(tmp_path), 2**31
    segs, _ = segment_case(case, pair, Options(), memory)
    expected, _ = segment_case(case, TorchModel(following), Options(), memory)
    assert 0.01 < (expected > 0).mean() < 0.99
    assert (segs != expected).mean() < 1e-3


def constant_graph() -> onnx.ModelProto:
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Constant", [], ["y"], value_floats=[1.0])
    graph = onnx.helper.make_graph([node], "constant", [], [output])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)


def test_a_pair_without_a_volume_decoder_takes_an_earlier_one_away(tmp_path):
    names = ["encoder.onnx", "decoder.onnx", VOLUME_DECODER]
    description = describe(small_sam(), 1, "after_padding", "float32")
    assert "state" not in description
    write_pair(tmp_path, {name: constant_graph() for name in names}, description)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    write_pair(tmp_path, {name: constant_graph() for name in names[:2]}, description)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decoder.onnx", "encoder.onnx"]


def test_a_failed_export_leaves_an_earlier_volume_decoder(tmp_path):
    description = describe(small_sam(), 1, "after_padding", "float32")
    names = ["encoder.onnx", "decoder.onnx", VOLUME_DECODER]
    write_pair(tmp_path, {name: constant_graph() for name in names}, description)
    broken = constant_graph()
    broken.graph.node[0].op_type = "NoSuchOperation"
    with pytest.raises(onnx.checker.ValidationError):
        write_pair(tmp_path, {"encoder.onnx": constant_graph(), "decoder.onnx": broken}, description)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
