"""Runs that teach a model to follow objects: frozen parts, BatchNorm, what is refused, and exact resumption."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from tests.support.data_root import write_phantom_root
from tests.support.small_run import configured, same_weights
from tests.support.small_sam import small_sam
from training.data.loader import Loader
from training.model import MODELS, build_model
from training.model.checkpoint import load_model, read_checkpoint, save_checkpoint
from training.model.untrained import fill_randomly
from training.trainer.config import DistillationConfig, TrainConfig, read_config
from training.trainer.loop import train
from training.trainer.stages import make_model, set_training
from training.trainer.step import TrainStep

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_phantom_root(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A checkpoint of the light model whose BatchNorm statistics are not those of a new one."""
    model = build_model("light")
    fill_randomly(model, seed=0)
    path = tmp_path_factory.mktemp("light") / "light.pt"
    save_checkpoint(path, model)
    return path


def settings(root: Path, output: Path, init: Path | None, *overrides: str) -> TrainConfig:
    """Two steps of two stills, their pairs and a clip of three slices, on one thread."""
    values = {
        "output": str(output),
        "model": "light",
        "init": init and str(init),
        "frozen": ["image_encoder"],
        "keep_batchnorm": True,
        "data": {
            "root": str(root),
            "batch_size": 2,
            "boxes": {"per_image": 1},
            "clips": {"per_batch": 1, "length": 3, "objects": 1},
            "sampling": {"samples_per_modality": 2},
        },
        "losses": {"dice": 1.0, "border_bce": 1.0, "iou": 0.1},
        "budget": {"samples": 4},
        "ema": 0.9,
    }
    return configured(values, overrides)


def test_frozen_parts_have_no_gradient_and_are_in_eval_mode(root, trained, tmp_path):
    config = settings(root, tmp_path, trained)
    model = make_model(config)
    set_training(model.train(), config)
    assert model.state  # it has learned how to
    for name, part in model.named_children():
        is_frozen = name == "image_encoder"
        assert {parameter.requires_grad for parameter in part.parameters()} == {not is_frozen}
        assert part.training != is_frozen
    statistics = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len([module for module in model.mask_decoder.modules() if isinstance(module, nn.BatchNorm2d)]) > 0
    assert not any(module.training for module in statistics)


def test_batchnorm_learns_unless_it_is_kept(root, trained, tmp_path):
    config = settings(root, tmp_path, trained, "keep_batchnorm=false", "frozen=[]")
    model = make_model(config)
    set_training(model.eval(), config)
    assert all(module.training for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_clips_need_a_model_that_can_follow(root, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "litemedsam", small_sam)
    config = settings(root, tmp_path, None, "model=litemedsam")
    with pytest.raises(ValueError, match=r"data\.clips: the model small has not learnt to follow objects"):
        make_model(config)


def test_without_clips_the_model_stays_as_its_checkpoint_is(root, trained, tmp_path):
    without = "data.clips={}"
    assert make_model(settings(root, tmp_path, trained, without)).state == ()
    follows = load_model(trained)
    follows.learn_to_follow()
    save_checkpoint(tmp_path / "follows.pt", follows)
    assert make_model(settings(root, tmp_path, tmp_path / "follows.pt", without)).state == follows.state


@pytest.mark.parametrize("names", ["[encoder]", "image_encoder", "[image_encoder, head]"])
def test_parts_that_are_none_are_refused(root, tmp_path, names):
    with pytest.raises(ValueError, match="frozen"):
        settings(root, tmp_path, None, f"frozen={names}")


def test_a_step_without_any_pair_has_a_finite_loss(root, trained, tmp_path):
    config = settings(root, tmp_path, trained)
    batch = Loader(config.data).batch(0)
    only_clips = replace(batch, clips=batch.clips[1:])
    loss, parts = TrainStep(make_model(config), config.losses, DistillationConfig())(only_clips)
    assert torch.isfinite(loss)
    assert "clips_of_2" not in parts
    assert "clips_of_3" in parts


def test_a_run_learns_to_follow_and_resumes_exactly(root, trained, tmp_path):
    train(settings(root, tmp_path / "short", trained, "budget.samples=2"))
    train(settings(root, tmp_path / "short", trained))
    train(settings(root, tmp_path / "whole", trained))
    for name in ("last.pt", "best.pt"):
        assert same_weights(tmp_path / "short" / name, tmp_path / "whole" / name)
    steps = [pd.read_csv(tmp_path / run / "steps.csv") for run in ("short", "whole")]
    assert steps[0]["loss"].tolist() == steps[1]["loss"].tolist()
    assert {"clips_of_2", "clips_of_3", "clips_of_2_presence", "clips_of_3_presence", "dice"} <= set(steps[1])

    old, new = (read_checkpoint(path).state for path in (trained, tmp_path / "whole/last.pt"))
    changed = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"prompt_encoder", "mask_decoder"}
    assert any(value.any() for name, value in new.items() if name.startswith("volume_decoder.slice_memory.adds"))
    statistics = [name for name in old if "running_" in name or "num_batches" in name]
    assert all(torch.equal(old[name], new[name]) for name in statistics)
    assert load_model(tmp_path / "whole/best.pt").state == ("mask", "keys", "reference")


def test_the_configuration_that_ships_teaches_the_light_model():
    config = read_config(REPOSITORY / "training/configs/light_volumes.yaml", [])
    assert (config.model, config.keep_batchnorm) == ("light", True)
    assert config.frozen == ("image_encoder", "prompt_encoder", "mask_decoder")
    assert config.data.clips.per_batch > 0
