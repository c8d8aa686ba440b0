"""The command of post-training quantization: what it asks for, and what it refuses in one line."""

from pathlib import Path

import pytest

from tests.support.data_root import write_ct_and_ultrasound
from tests.support.small_sam import small_sam
from training import ptq
from training.model import checkpoint
from training.model.checkpoint import save_checkpoint
from training.quantization import Recipe, expect_scales, quantize


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
    assert asked == [("small", Path("tree"), tmp_path, 9, "before_padding", 3)]
    assert capsys.readouterr().out.endswith("of small, calibrated on 7 images\n")


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
