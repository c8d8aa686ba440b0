"""Moving the threshold: a shift of the logits, nothing else, and the one that scores best."""

import numpy as np
import pytest
import torch

from tests.support.small_sam import small_sam
from training.data import phantoms
from training.model import build_model
from training.model.checkpoint import load_model, save_checkpoint
from training.model.untrained import fill_randomly
from training.scoring.validation import ValidationConfig
from training.threshold import main, scores_by_shift

BOXES = torch.tensor([[20.0, 30, 120, 200], [5, 5, 60, 250]])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    model = build_model("light").eval()
    fill_randomly(model, seed=3)
    path = tmp_path_factory.mktemp("threshold") / "light.pt"
    save_checkpoint(path, model)
    return path


@pytest.fixture(scope="module")
def val(tmp_path_factory):
    folder = tmp_path_factory.mktemp("val")
    phantom = phantoms.ultrasound(np.random.default_rng(0))
    for name, arrays in (("imgs", {"imgs": phantom.imgs, "boxes": phantom.boxes}), ("gts", {"gts": phantom.gts})):
        (folder / name).mkdir()
        np.savez(folder / name / "2DBox_US_0001.npz", **arrays)
    return folder


@torch.no_grad()
def test_a_shift_is_added_to_every_logit_and_changes_nothing_else(checkpoint):
    model, shifted = load_model(checkpoint), load_model(checkpoint)
    shifted.mask_decoder.shift_logits(0.75)
    embeddings = model.encode(torch.rand(1, 3, 256, 256, generator=torch.manual_seed(0)))
    (logits, iou), (shifted_logits, shifted_iou) = (m.decode(embeddings, BOXES) for m in (model, shifted))
    torch.testing.assert_close(shifted_logits, logits + 0.75, rtol=0, atol=1e-5)
    assert torch.equal(shifted_iou, iou)


def test_the_best_of_the_shifts_is_kept(checkpoint, val, tmp_path, capsys):
    # With -1e4 no pixel is inside any more: DSC 0, which any other mask beats or equals.
    arguments = ["--checkpoint", str(checkpoint), "--val", str(val), "--out", str(tmp_path / "out.pt")]
    assert main([*arguments, "--shifts", "-10000", "10000"]) == 0
    before, after = (load_model(path).mask_decoder.logits.bias for path in (checkpoint, tmp_path / "out.pt"))
    torch.testing.assert_close(after, before + 10000)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "-10000.00  DSC 0.0000"
    assert second.endswith(f"<- {tmp_path / 'out.pt'}")


def test_trying_leaves_the_model_as_it_was(checkpoint, val):
    model = load_model(checkpoint)
    before = model.mask_decoder.logits.bias.clone()
    scores = scores_by_shift(model, (0.5, -0.5), ValidationConfig(root=str(val)), "after_padding")
    assert list(scores) == [0.5, -0.5]
    torch.testing.assert_close(model.mask_decoder.logits.bias, before)


def test_a_model_without_such_a_bias_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("training.model.checkpoint.build_model", lambda name: small_sam())
    save_checkpoint(tmp_path / "sam.pt", small_sam())
    assert main(["--checkpoint", str(tmp_path / "sam.pt"), "--out", str(tmp_path / "out.pt")]) == 1
    assert "have no bias that could be moved" in capsys.readouterr().err
    assert not (tmp_path / "out.pt").exists()


@torch.no_grad()
def test_presence_is_shifted_by_what_is_given(checkpoint, val, tmp_path, capsys):
    model = load_model(checkpoint)
    arguments = ["--val", str(val), "--shifts", "0", "--presence", "-1.5", "--out", str(tmp_path / "out.pt")]
    assert main(["--checkpoint", str(checkpoint), *arguments]) == 1
    assert "does not follow objects" in capsys.readouterr().err
    model.learn_to_follow()
    save_checkpoint(tmp_path / "follows.pt", model)
    assert main(["--checkpoint", str(tmp_path / "follows.pt"), *arguments]) == 0
    before, after = (load_model(tmp_path / name).state_dict() for name in ("follows.pt", "out.pt"))
    bias = "volume_decoder.slice_memory.presence.bias"
    torch.testing.assert_close(after[bias], before[bias] - 1.5)
    assert all(torch.equal(before[name].half(), after[name].half()) for name in before if name != bias)
