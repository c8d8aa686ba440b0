"""A training run of a small model on phantoms: milliseconds a step, the same weights every time."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from tests.support.small_sam import SIZE
from training.data.config import from_mapping
from training.model.checkpoint import read_checkpoint
from training.trainer.config import TrainConfig, apply_override

STEPS_PER_EPOCH = 3  # of two images each


def small_run(root: Path, output: Path, *overrides: str) -> TrainConfig:
    """Two epochs of the model `small` (`small_sam`, to be put into MODELS) on a root of `write_phantom_root`."""
    values = {
        "output": str(output),
        "model": "small",
        "data": {"root": str(root), "input_size": SIZE, "batch_size": 2, "sampling": {"samples_per_modality": 2}},
        "budget": {"epochs": 2},
        "losses": {"dice": 1.0, "focal": 1.0},
    }
    return configured(values, overrides)


def configured(values: dict[str, Any], overrides: Iterable[str]) -> TrainConfig:
    """The configuration of a run on one thread of the CPU that logs every step: `values` beside that, and overrides."""
    common = {"optimizer": {"lr": 0.001}, "schedule": {"warmup_steps": 1, "cooldown": 0.0}}
    values = {**common, "threads": 1, "device": "cpu", "log_steps": 1, **values}
    for override in overrides:
        apply_override(values, override)
    return from_mapping(TrainConfig, values)


def scored(dsc: float) -> pd.DataFrame:
    """What a validation returns that scores `dsc`."""
    return pd.DataFrame({"case": ["2DBox_US_0001.npz"], "modality": ["US"], "dimensions": ["2D"], "dsc": [dsc]})


def same_weights(first: Path, second: Path) -> bool:
    """Whether two checkpoints hold the same model."""
    old, new = read_checkpoint(first).state, read_checkpoint(second).state
    return old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old)
