"""Post-training quantization: an int8 pair for the same runtime, close to the floating-point model."""

import copy
import re
import sys
from functools import cache

import onnx
import pytest
import torch

from inference.model.metadata import read_metadata
from tests.support.data_root import write_ct_and_ultrasound
from tests.support.engines import run_openvino
from tests.support.parity import relative_error
from tests.support.small_sam import SIZE, narrow_litemedsam, small_sam
from tests.training.quantization.test_qcdq import executed_layers
from training.data.augmentation import AugmentationConfig
from training.data.config import DataConfig
from training.export import post_training
from training.export.form import for_export
from training.export.form.layers import rows
from training.export.post_training import (
    EVERYTHING,
    calibration_batches,
    choice_of,
    export_calibrated,
    module_of,
    quantize_pair,
)
from training.quantization import Recipe
from training.quantization.quantize import chosen_layers

IMAGES = 4


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_ct_and_ultrasound(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def model():
    return small_sam()


@pytest.fixture(scope="module", autouse=True)
def traced_once():
    """Tracing the model takes longer than all else."""
    trace = cache(post_training.trace_pair)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(post_training, "trace_pair", lambda model, names: copy.deepcopy(trace(model, tuple(names))))
        yield


def calibration(root, seed: int = 0):
    config = DataConfig(str(root), batch_size=1, input_size=SIZE, seed=seed, augmentation=AugmentationConfig().only())
    return calibration_batches(config, IMAGES)


@torch.no_grad()
def test_quantized_pair_is_int8_and_close_to_floating_point(root, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert export_calibrated(model, root, tmp_path, EVERYTHING, IMAGES) == IMAGES
    shown = capsys.readouterr()
    assert shown.out == ""
    for title in ("calibration images", "calibrate encoder.onnx", "calibrate decoder.onnx"):
        assert re.search(rf"{title}: 100%.* {IMAGES}/{IMAGES} ", shown.err)

    encoder, decoder = (read_metadata(tmp_path / name) for name in ("encoder.onnx", "decoder.onnx"))
    assert encoder == decoder
    assert (encoder.precision, encoder.model, encoder.normalise) == ("int8", "small", "after_padding")
    layers = executed_layers(tmp_path / "encoder.onnx")
    assert sum(kind == "Convolution" and precision in ("i8", "u8") for kind, precision in layers) > 10

    decoder_graph = onnx.load(tmp_path / "decoder.onnx").graph
    assert not any(node.op_type == "QuantizeLinear" and node.input[0] == "boxes" for node in decoder_graph.node)

    batch = calibration(root)[0]
    (embedding,) = model.encode(batch.images)
    logits, _ = model.decode((embedding,), batch.boxes)
    (encoded,) = run_openvino(tmp_path / "encoder.onnx", {"image": batch.images.numpy()})
    inputs = {"image_embedding": rows(embedding).numpy(), "boxes": batch.boxes.numpy()}
    decoded = run_openvino(tmp_path / "decoder.onnx", inputs)[0]
    assert 1e-4 < relative_error(encoded, rows(embedding).numpy()) < 0.15
    assert 1e-4 < relative_error(decoded, logits.numpy()) < 0.25


def test_calibration_images_come_from_all_modalities_and_depend_on_the_seed_alone(root):
    batches = calibration(root)
    assert len(batches) == IMAGES
    assert {name for batch in batches for name in batch.modalities} == {"CT", "US"}
    for ours, same in zip(batches, calibration(root), strict=True):
        assert torch.equal(ours.images, same.images)
        assert torch.equal(ours.boxes, same.boxes)
    assert any(
        a.modalities != b.modalities or not torch.equal(a.boxes, b.boxes)
        for a, b in zip(batches, calibration(root, seed=1), strict=True)
    )


LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


@pytest.mark.parametrize("recipe", [Recipe(), choice_of(narrow_litemedsam()).recipe], ids=["paper", "ours"])
def test_ptq_quantizes_the_layers_that_the_recipe_names(root, model, recipe, capsys):
    graphs = quantize_pair(model, recipe, calibration(root))
    assert tuple(capsys.readouterr()) == ("", "")  # bars are for terminals
    assert list(graphs) == ["encoder.onnx", "decoder.onnx"]
    chosen = chosen_layers(for_export(model, chosen_layers(model, recipe)), recipe)
    quantized = set()
    for graph in graphs.values():
        dequantized = {node.output[0] for node in graph.graph.node if node.op_type == "DequantizeLinear"}
        quantized |= {
            module_of(node)
            for node in graph.graph.node
            if node.op_type in LAYERS and all(name in dequantized for name in node.input[:2])
        }
    assert quantized == set(chosen)
    assert ("mask_decoder.mask_product" in chosen) == recipe.attention_products
    assert any(name.endswith("query_key") for name in chosen) == recipe.attention_products
