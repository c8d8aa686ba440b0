"""The exported pair: the same numbers in torch, ONNX Runtime and OpenVINO, and metadata that the runtime accepts."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from inference.model.metadata import read_metadata
from tests.support.engines import run_onnxruntime, run_openvino
from tests.support.filled_box import SIDE, FilledBox
from tests.support.parity import relative_error
from tests.support.real_cases import preprocessed_case
from tests.support.small_sam import SIZE, small_sam
from training.export.__main__ import main
from training.export.form import for_export
from training.export.form.layers import rows
from training.export.onnx_pair import describe, embedding_names, write_pair
from training.export.pair import trace_pair
from training.model import checkpoint
from training.model.checkpoint import save_checkpoint

TOLERANCE = 1e-4  # relative, in float32
CASES = ["2DBox_CT_0001.npz", "2DBox_Microscopy_0003.npz"]


@pytest.mark.parametrize("name", ["litemedsam", "light"])
@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_engines_agree_on_real_images(untrained, shared_data, name, case):
    model, folder = untrained(name)
    image, boxes = preprocessed_case(shared_data / "val" / "imgs" / case)
    embeddings = model.encode(torch.from_numpy(image))
    logits, iou = model.decode(embeddings, torch.from_numpy(boxes))
    embeddings = [embedding.numpy() for embedding in for_export(model).encode(torch.from_numpy(image))]
    assert 0.01 < (logits > 0).float().mean() < 0.99  # masks to agree about

    named = dict(zip(embedding_names(len(embeddings)), embeddings, strict=True))
    for run in (run_onnxruntime, run_openvino):
        encoded = run(folder / "encoder.onnx", {"image": image})
        decoded = run(folder / "decoder.onnx", {**named, "boxes": boxes})
        expected = [*embeddings, logits.numpy(), iou.numpy()]
        errors = [relative_error(*pair) for pair in zip([*encoded, *decoded], expected, strict=True)]
        assert max(errors) < TOLERANCE


@pytest.mark.parametrize("count", [1, 2, 17])
@torch.no_grad()
def test_decoder_takes_any_number_of_boxes(untrained, count):
    model, folder = untrained("litemedsam")
    embedding = torch.randn(1, 256, 64, 64, generator=torch.manual_seed(0))
    corners = np.random.default_rng(count).uniform(0, 256, (count, 2, 2)).astype(np.float32)
    boxes = np.sort(corners, axis=1).reshape(count, 4)
    expected, _ = model.decode((embedding,), torch.from_numpy(boxes))

    logits, iou = run_openvino(folder / "decoder.onnx", {"image_embedding": rows(embedding).numpy(), "boxes": boxes})

    assert logits.shape == (count, 256, 256)
    assert iou.shape == (count,)
    assert relative_error(logits, expected.numpy()) < TOLERANCE


@pytest.mark.parametrize(("name", "encoder", "count"), [("litemedsam", "tiny_vit", 1), ("light", "light_encoder", 4)])
def test_runtime_reads_the_metadata_of_both_files(untrained, name, encoder, count):
    _, folder = untrained(name)
    of_encoder, of_decoder = (read_metadata(folder / file) for file in ("encoder.onnx", "decoder.onnx"))
    assert of_encoder == of_decoder
    assert (of_encoder.model, of_encoder.encoder, of_encoder.input_size) == (name, encoder, 256)
    assert (of_encoder.normalise, of_encoder.precision) == ("after_padding", "float32")
    assert of_encoder.embeddings == tuple(embedding_names(count))


def test_command_line_exports_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "build_model", lambda name: small_sam())
    model = small_sam()
    save_checkpoint(tmp_path / "model.pth", model)
    arguments = ["--checkpoint", str(tmp_path / "model.pth"), "--normalise", "before_padding"]

    assert main([*arguments, "--out", str(tmp_path / "pair")]) == 0

    assert read_metadata(tmp_path / "pair" / "decoder.onnx").normalise == "before_padding"
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.manual_seed(0))
    (encoded,) = run_onnxruntime(tmp_path / "pair" / "encoder.onnx", {"image": image.numpy()})
    with torch.no_grad():
        assert relative_error(encoded, rows(model.encode(image)[0]).numpy()) < TOLERANCE


def test_files_do_not_say_where_they_were_made(untrained):
    _, folder = untrained("light")
    for path in folder.glob("*.onnx"):
        content = path.read_bytes()
        assert b".py" not in content
        assert str(Path(__file__).parents[3]).encode() not in content


def test_pair_hash_depends_on_the_weights_alone(tmp_path):
    def hash_of(name: str, value: float) -> str:
        graph = constant_graph(value)
        graphs = {"encoder.onnx": graph, "decoder.onnx": graph}
        write_pair(tmp_path / name, graphs, describe(small_sam(), 1, "after_padding", "float32"))
        return read_metadata(tmp_path / name / "encoder.onnx").pair

    assert hash_of("a", 1.0) == hash_of("b", 1.0)
    assert hash_of("a", 1.0) != hash_of("c", 2.0)


def constant_graph(value: float) -> onnx.ModelProto:
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Constant", [], ["y"], value_floats=[value])
    graph = onnx.helper.make_graph([node], "constant", [], [output])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)


def test_graph_is_static_folded_and_leaves_the_other_mask_heads_out(untrained):
    _, folder = untrained("litemedsam")
    encoder, decoder = (onnx.load(folder / name).graph for name in ("encoder.onnx", "decoder.onnx"))
    operations = {node.op_type for node in encoder.node}
    assert not operations & {"Shape", "BatchNormalization", "GatherND", "If", "Loop"}
    names = [weights.name for weights in decoder.initializer]
    assert len({name.split(".layers")[0] for name in names if "hypernetwork" in name}) == 1
    # Of the prompt encoder's, points and masks are left out.
    assert [name.rsplit(".", 1)[-1] for name in names if "prompt_encoder" in name] == [
        "positional_encoding_gaussian_matrix"
    ]


def test_nothing_is_left_behind_when_export_fails(tmp_path, capsys):
    (tmp_path / "bad.pth").write_bytes(b"not a checkpoint")
    assert main(["--checkpoint", str(tmp_path / "bad.pth"), "--out", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()
    message = capsys.readouterr().err
    assert "bad.pth" in message
    assert message.count("\n") == 1


def test_logits_of_another_size_than_the_model_says_are_refused():
    model = FilledBox()
    model.logit_size = SIDE // 2
    with pytest.raises(ValueError, match=f"the model's are {SIDE // 2} x {SIDE // 2}"):
        trace_pair(model)
