"""Checkpoints: every form that is out there, and one clear line for what does not fit."""

import os
import pickle

import pytest
import torch
from torch import nn

from training.model import checkpoint
from training.model.checkpoint import (
    CheckpointError,
    load_model,
    load_state,
    read_checkpoint,
    save_checkpoint,
    split_checkpoint,
)


class Tiny(nn.Module):
    name = "tiny"

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 64)
        self.norm = nn.BatchNorm1d(64)


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    monkeypatch.setattr(checkpoint, "build_model", lambda name: Tiny())


def test_own_checkpoint_comes_back_with_name_and_extras(tmp_path):
    model = Tiny()
    save_checkpoint(tmp_path / "a.pth", model, epoch=3, optimiser={"lr": 0.1})
    read = read_checkpoint(tmp_path / "a.pth")
    assert read.model_name == "tiny"
    assert read.extra == {"epoch": 3, "optimiser": {"lr": 0.1}}
    loaded = load_model(tmp_path / "a.pth")
    assert not loaded.training
    assert torch.equal(loaded.linear.weight, model.linear.weight)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state, "optimizer": {}, "epoch": 1},
        lambda state: {f"module.{name}": value for name, value in state.items()},
    ],
    ids=["plain", "under model", "from DistributedDataParallel"],
)
def test_published_forms_load(tmp_path, wrap):
    model = Tiny()
    torch.save(wrap(model.state_dict()), tmp_path / "a.pth")
    assert torch.equal(load_model(tmp_path / "a.pth").linear.weight, model.linear.weight)


def test_half_precision_is_for_large_tensors_only(tmp_path):
    model = Tiny()
    model.norm.running_var.fill_(1e6)  # beyond float16
    save_checkpoint(tmp_path / "a.pth", model, half=True)
    state = read_checkpoint(tmp_path / "a.pth").state
    assert state["linear.weight"].dtype == torch.float16
    assert state["norm.running_var"].dtype == torch.float32
    loaded = load_model(tmp_path / "a.pth")
    assert loaded.linear.weight.dtype == torch.float32
    torch.testing.assert_close(loaded.linear.weight, model.linear.weight, rtol=1e-3, atol=1e-4)


def test_a_folder_of_parts_stands_for_the_checkpoint_that_it_was_split_from(tmp_path):
    save_checkpoint(tmp_path / "whole.pt", Tiny(), half=True, samples=7)
    files = split_checkpoint(tmp_path / "whole.pt", tmp_path / "parts")
    assert [path.name for path in files] == ["linear.pt", "norm.pt"]

    whole, parts = read_checkpoint(tmp_path / "whole.pt"), read_checkpoint(tmp_path / "parts")
    assert whole.state.keys() == parts.state.keys()
    assert all(torch.equal(value, parts.state[name]) for name, value in whole.state.items())
    assert (parts.model_name, parts.recipe, parts.batchnorm_merged) == ("tiny", None, False)
    assert parts.extra == {"samples": 7}

    files[0].unlink()
    with pytest.raises(CheckpointError, match=r"parts: does not fit the model tiny: 2 missing \(linear"):
        load_model(tmp_path / "parts")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty: holds no checkpoint, neither whole nor in parts"):
        read_checkpoint(tmp_path / "empty")


def test_names_and_shapes_that_do_not_fit_are_listed_in_one_line(tmp_path):
    state = Tiny().state_dict()
    state["linear.weight"] = torch.zeros(5, 5)
    state["head.weight"] = state.pop("linear.bias")
    with pytest.raises(CheckpointError) as error:
        load_state(Tiny(), state, tmp_path / "a.pth")
    message = str(error.value)
    assert "a.pth" in message
    assert "1 missing (linear.bias)" in message
    assert "1 unexpected (head.weight)" in message
    assert "linear.weight (5, 5) for (64, 64)" in message
    assert "\n" not in message


def test_wrong_model_is_refused(tmp_path):
    save_checkpoint(tmp_path / "a.pth", Tiny())
    with pytest.raises(CheckpointError, match="holds the model tiny, not light"):
        load_model(tmp_path / "a.pth", "light")


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", pickle.dumps([1, 2], 2), pickle.dumps(Malicious(), 2)],
    ids=["empty", "text", "list", "code"],
)
def test_unusable_files_are_named_and_run_nothing(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.pth: "):
        read_checkpoint(tmp_path / "a.pth")
    assert not (tmp_path / "executed").exists()


def test_missing_and_truncated_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        read_checkpoint(tmp_path / "none.pth")
    save_checkpoint(tmp_path / "a.pth", Tiny())
    (tmp_path / "a.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:500])
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        read_checkpoint(tmp_path / "a.pth")


def test_interrupted_save_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "a.pth", Tiny(), epoch=1)

    def disk_full(content, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path / "a.pth", Tiny(), epoch=2)
    assert read_checkpoint(tmp_path / "a.pth").extra == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]
