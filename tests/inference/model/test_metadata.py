"""The metadata that training and runtime share, read from ONNX files that onnx itself wrote."""

from pathlib import Path

import onnx
import pytest

from inference.errors import SetupError
from inference.model.metadata import ENCODER, PAIR, check_content, read_metadata

WEIGHTS = Path(__file__).resolve().parents[3] / "weights"

PROPS = {
    "qmedsam.format": "2",
    "qmedsam.model": "light",
    "qmedsam.encoder": "light_encoder",
    "qmedsam.input_size": "1024",
    "qmedsam.logit_size": "256",
    "qmedsam.normalise": "before_padding",
    "qmedsam.box_convention": "xyxy_input_pixels",
    "qmedsam.embeddings": "image_embedding,image_embedding_1",
    "qmedsam.precision": "int8",
    "qmedsam.pair": "0123abcd",
    "somebody.else": "ignored",
}


def onnx_file(folder, props):
    values = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [70_000], b"\x07" * 280_000, raw=True)
    graph = onnx.helper.make_graph([], "graph", [], [], initializer=[values])
    model = onnx.helper.make_model(graph, producer_name="test", doc_string="x" * 300)
    onnx.helper.set_model_props(model, props)
    path = folder / "encoder.onnx"
    onnx.save(model, path)
    return path


def test_what_onnx_wrote_is_read(tmp_path):
    metadata = read_metadata(onnx_file(tmp_path, PROPS))
    assert (metadata.model, metadata.encoder) == ("light", "light_encoder")
    assert (metadata.input_size, metadata.logit_size) == (1024, 256)
    assert (metadata.normalise, metadata.precision, metadata.pair) == ("before_padding", "int8", "0123abcd")
    assert metadata.box_convention == "xyxy_input_pixels"
    assert metadata.embeddings == ("image_embedding", "image_embedding_1")
    assert metadata.state == ()
    assert metadata.files == PAIR


def test_a_pair_that_hands_on_a_state_has_a_third_file(tmp_path):
    metadata = read_metadata(onnx_file(tmp_path, PROPS | {"qmedsam.state": "memory,reference"}))
    assert metadata.state == ("memory", "reference")
    assert metadata.files == (*PAIR, "volume_decoder.onnx")
    assert read_metadata(onnx_file(tmp_path, PROPS | {"qmedsam.state": ""})).files == PAIR


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"qmedsam.format": "1"}, "metadata of format 1 in it, 2 is needed; export it"),
        ({"qmedsam.normalise": "sometimes"}, "unknown normalisation"),
        ({"qmedsam.box_convention": "cxcywh"}, "box convention"),
        ({"qmedsam.input_size": "big"}, "incomplete metadata"),
        ({"qmedsam.logit_size": "big"}, "incomplete metadata"),
    ],
)
def test_metadata_of_another_kind(tmp_path, changed, reason):
    with pytest.raises(SetupError, match=reason):
        read_metadata(onnx_file(tmp_path, PROPS | changed))


@pytest.mark.parametrize("missing", [name for name in PROPS if name.startswith("qmedsam.")])
def test_missing_entry(tmp_path, missing):
    with pytest.raises(SetupError):
        read_metadata(onnx_file(tmp_path, {key: value for key, value in PROPS.items() if key != missing}))


def test_missing_file(tmp_path):
    with pytest.raises(SetupError, match="No such file"):
        read_metadata(tmp_path / "encoder.onnx")


@pytest.mark.parametrize("keep", [0, 1, 10, 1000, 280_100])
def test_truncated_file(tmp_path, keep):
    path = onnx_file(tmp_path, PROPS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SetupError):
        read_metadata(path)


@pytest.mark.parametrize("content", [b"hello, world", b"\xff" * 100, b"\x72\xff\xff\xff\xff\x0f"])
def test_not_an_onnx_file(tmp_path, content):
    (tmp_path / "encoder.onnx").write_bytes(content)
    with pytest.raises(SetupError):
        read_metadata(tmp_path / "encoder.onnx")


def test_content_is_that_which_was_exported(tmp_path):
    metadata = read_metadata(WEIGHTS / ENCODER)
    for name in metadata.files:
        (tmp_path / name).write_bytes((WEIGHTS / name).read_bytes())
    check_content(tmp_path, metadata)

    damaged = bytearray((tmp_path / ENCODER).read_bytes())
    damaged[len(damaged) // 2] ^= 1  # among the weights: OpenVINO would load it
    (tmp_path / ENCODER).write_bytes(damaged)
    with pytest.raises(SetupError, match="damaged"):
        check_content(tmp_path, metadata)
