"""The command of post-training quantization: what it asks for, and what it refuses in one line."""

from pathlib import Path

import pytest

from tests.support.data_root import write_ct_and_ultrasound
from tests.support.small_sam import narrow_litemedsam, small_sam
from training import ptq
from training.configs import CONFIGS
from training.export.post_training import EVERYTHING, choice_of
from training.model import checkpoint
from training.model.checkpoint import save_checkpoint
from training.quantization import Recipe, expect_scales, quantize
from training.quantization.quantize import chosen_layers
from training.trainer.config import read_config


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_ct_and_ultrasound(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def float_checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "small.pth"
    save_checkpoint(path, small_sam())
    return path


@pytest.fixture(autouse=True)
def only_small_models(monkeypatch):
    monkeypatch.setattr(checkpoint, "build_model", lambda name: small_sam())


def test_the_checkpoint_is_calibrated_as_asked_for(float_checkpoint, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(ptq, "export_calibrated", lambda model, *how: asked.append((model.name, *how)) or 7)
    arguments = ["--checkpoint", str(float_checkpoint), "--root", "tree", "--out", str(tmp_path)]
    assert ptq.main([*arguments, "--images", "9", "--normalise", "before_padding", "--seed", "3"]) == 0
    assert asked == [("small", Path("tree"), tmp_path, EVERYTHING, 9, "before_padding", 3)]
    assert capsys.readouterr().out.endswith("of small, calibrated on 7 images\n")


@pytest.mark.parametrize("stage", ["litemedsam_stage{}.yaml", "stage{}.yaml"])
def test_layers_are_those_of_the_stages(stage):
    model = narrow_litemedsam()
    recipes = [choice_of(model, CONFIGS / stage.format(number)).recipe for number in (1, 2, 3)]
    trained = [read_config(CONFIGS / stage.format(number), ["init=any.pt"]).quantization for number in (1, 2, 3)]
    assert recipes == trained == [trained[0]] * 3
    assert choice_of(model) == choice_of(model, CONFIGS / "litemedsam_stage3.yaml")
    layers = chosen_layers(model, trained[0])
    assert ("mask_decoder.mask_product" in layers) == (stage == "stage{}.yaml")
    assert "mask_decoder.iou_prediction_head.layers.0" in layers


def test_data_sets_are_shown_as_often_as_the_stage_shows_them():
    model = narrow_litemedsam()
    assert choice_of(model).dataset_weights == {"Fundus/*_vessels": 0.1}
    assert choice_of(model, CONFIGS / "stage3.yaml").dataset_weights == {}  # the paper's: all alike


def test_a_configuration_without_a_choice_of_layers_is_named(float_checkpoint, tmp_path, capsys):
    path = tmp_path / "stage.yaml"
    for text in ("stage: 3", "quantization: {keep_float: [neck.*]}", "quantization: {bits: 4}"):
        path.write_text(text)
        arguments = ["--checkpoint", str(float_checkpoint), "--root", "tree", "--out", str(tmp_path / "out")]
        assert ptq.main([*arguments, "--config", str(path)]) == 1
        message = capsys.readouterr().err
        assert message.startswith(f"error: {path}: no quantization for the model small: ")
        assert message.count("\n") == 1


def test_quantized_checkpoint_and_missing_data_are_refused_in_one_line(root, float_checkpoint, tmp_path, capsys):
    quantized = tmp_path / "quantized.pth"
    save_checkpoint(quantized, expect_scales(quantize(small_sam(), Recipe())))
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, data, reason in ((quantized, root, "quantized already"), (float_checkpoint, empty, "no <Modality>")):
        assert ptq.main(["--checkpoint", str(path), "--root", str(data), "--out", str(tmp_path / "out")]) == 1
        message = capsys.readouterr().err
        assert reason in message
        assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()
