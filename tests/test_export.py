"""The exported pair: the same numbers in torch, ONNX Runtime and OpenVINO, and metadata that the runtime accepts."""

import numpy as np
import onnx
import pytest
import torch

from inference.metadata import read_metadata
from tests.engines import run_onnxruntime, run_openvino
from tests.parity import relative_error
from tests.real_cases import preprocessed_case
from training.checkpoint import save_checkpoint
from training.export import main
from training.model import build_model
from training.model.untrained import fill_randomly
from training.onnx_pair import describe, write_pair

TOLERANCE = 1e-4  # relative, in float32
CASES = ["2DBox_CT_0001.npz", "2DBox_Microscopy_0003.npz"]


@pytest.fixture(scope="module")
def model():
    model = build_model("litemedsam")
    fill_randomly(model, seed=5)
    return model.eval()


@pytest.fixture(scope="module")
def pair(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    save_checkpoint(folder / "checkpoint.pth", model)
    arguments = ["--checkpoint", str(folder / "checkpoint.pth"), "--normalise", "before_padding"]
    assert main([*arguments, "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_engines_agree_on_real_images(model, pair, shared_data, case):
    image, boxes = preprocessed_case(shared_data / "val" / "imgs" / case)
    embeddings = model.encode(torch.from_numpy(image))
    logits, iou = model.decode(embeddings, torch.from_numpy(boxes))
    embedding = embeddings[0].numpy()
    assert (logits > 0).float().mean(dim=(1, 2)).min() > 0.01  # a mask to agree about
    assert (logits < 0).float().mean(dim=(1, 2)).min() > 0.01

    for run in (run_onnxruntime, run_openvino):
        (encoded,) = run(pair / "encoder.onnx", {"image": image})
        decoded = run(pair / "decoder.onnx", {"image_embedding": embedding, "boxes": boxes})
        assert relative_error(encoded, embedding) < TOLERANCE
        assert relative_error(decoded[0], logits.numpy()) < TOLERANCE
        assert relative_error(decoded[1], iou.numpy()) < TOLERANCE


@pytest.mark.parametrize("count", [1, 2, 17])
@torch.no_grad()
def test_decoder_takes_any_number_of_boxes(model, pair, count):
    embedding = torch.randn(1, 256, 64, 64, generator=torch.manual_seed(0))
    corners = np.random.default_rng(count).uniform(0, 256, (count, 2, 2)).astype(np.float32)
    boxes = np.sort(corners, axis=1).reshape(count, 4)
    expected, _ = model.decode((embedding,), torch.from_numpy(boxes))

    logits, iou = run_openvino(pair / "decoder.onnx", {"image_embedding": embedding.numpy(), "boxes": boxes})

    assert logits.shape == (count, 256, 256)
    assert iou.shape == (count,)
    assert relative_error(logits, expected.numpy()) < TOLERANCE


def test_runtime_reads_the_metadata_of_both_files(pair):
    encoder, decoder = (read_metadata(pair / name) for name in ("encoder.onnx", "decoder.onnx"))
    assert encoder == decoder
    assert (encoder.model, encoder.encoder, encoder.input_size) == ("litemedsam", "tiny_vit", 256)
    assert (encoder.normalise, encoder.precision) == ("before_padding", "float32")
    assert encoder.embeddings == ("image_embedding",)


def test_pair_hash_depends_on_the_weights_alone(model, tmp_path):
    def hash_of(name: str, value: float) -> str:
        graph = constant_graph(value)
        write_pair(tmp_path / name, graph, graph, describe(model, 1, "after_padding", "float32"))
        return read_metadata(tmp_path / name / "encoder.onnx").pair

    assert hash_of("a", 1.0) == hash_of("b", 1.0)
    assert hash_of("a", 1.0) != hash_of("c", 2.0)


def constant_graph(value: float) -> onnx.ModelProto:
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Constant", [], ["y"], value_floats=[value])
    graph = onnx.helper.make_graph([node], "constant", [], [output])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)


def test_graph_is_static_folded_and_leaves_the_other_mask_heads_out(pair):
    encoder, decoder = (onnx.load(pair / name).graph for name in ("encoder.onnx", "decoder.onnx"))
    operations = {node.op_type for node in encoder.node}
    assert not operations & {"Shape", "BatchNormalization", "Gather", "GatherND", "If", "Loop"}
    assert not any("output_hypernetworks_mlps.1" in w.name for w in decoder.initializer)
    assert not any("mask_downscaling" in w.name for w in decoder.initializer)


def test_nothing_is_left_behind_when_export_fails(tmp_path, capsys):
    (tmp_path / "bad.pth").write_bytes(b"not a checkpoint")
    assert main(["--checkpoint", str(tmp_path / "bad.pth"), "--out", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()
    message = capsys.readouterr().err
    assert "bad.pth" in message
    assert message.count("\n") == 1
