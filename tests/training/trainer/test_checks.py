"""What a run needs is looked at before its first step, and told in one line."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support.data_root import write_phantom_root, write_validation_case
from training.train import main
from training.trainer.config import OptimizerConfig, ScheduleConfig

CASE = "2DBox_US_0002.npz"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_phantom_root(tmp_path_factory.mktemp("data"))


@pytest.fixture
def start(root, tmp_path, monkeypatch, capsys) -> Callable[..., str]:
    """Start a run with these settings, which must refuse in one line before its first step; that line."""

    def no_step(*_: object) -> None:
        raise AssertionError("a step was taken")

    monkeypatch.setattr("training.trainer.loop.TrainStep.forward", no_step)
    values = {
        "output": str(tmp_path / "run"),
        "model": "light",
        "data": {"root": str(root), "batch_size": 2, "sampling": {"samples_per_modality": 2}},
        "budget": {"samples": 4},
        "device": "cpu",
        "threads": 1,
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))

    def start(*settings: str) -> str:
        assert main(["--config", str(tmp_path / "run.yaml"), *settings]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        return lines[-1]  # those before it are progress bars

    return start


@pytest.fixture
def val(tmp_path) -> Path:
    """A validation root of two good cases."""
    for number in (1, 2):
        write_validation_case(tmp_path / "val", f"2DBox_US_000{number}.npz", seed=number)
    return tmp_path / "val"


def test_a_validation_root_without_cases(start, tmp_path):
    assert start(f"validation.root={tmp_path / 'none'}") == f"{tmp_path / 'none/imgs'}: holds no validation case"
    (tmp_path / "empty/imgs").mkdir(parents=True)
    assert start(f"validation.root={tmp_path / 'empty'}") == f"{tmp_path / 'empty/imgs'}: holds no validation case"


def remove(val: Path) -> None:
    os.remove(val / "gts" / CASE)


def truncate(val: Path) -> None:
    content = (val / "imgs" / CASE).read_bytes()
    (val / "imgs" / CASE).write_bytes(content[: len(content) // 2])


def truncate_gts(val: Path) -> None:
    content = (val / "gts" / CASE).read_bytes()
    (val / "gts" / CASE).write_bytes(content[: len(content) // 2])


def rename_array(val: Path) -> None:
    np.savez(val / "gts" / CASE, masks=np.zeros((120, 160), np.uint8))


def crop(val: Path) -> None:
    np.savez(val / "gts" / CASE, gts=np.ones((120, 100), np.uint8))


def erase(val: Path) -> None:
    np.savez(val / "gts" / CASE, gts=np.zeros((120, 160), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (remove, f"gts/{CASE}: cannot be read (No such file or directory)"),
        (truncate, f"imgs/{CASE}: not a whole npz file"),
        (truncate_gts, f"gts/{CASE}: not a whole npz file"),
        (rename_array, f"gts/{CASE}: array 'gts' is missing"),
        (crop, f"gts/{CASE}: has the shape (120, 100), the image (120, 160)"),
        (erase, f"gts/{CASE}: holds no object"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_validation_case_that_cannot_be_scored(start, val, spoil, reason):
    spoil(val)
    assert start(f"validation.root={val}").startswith(f"{val}/{reason}")


def test_an_output_that_cannot_be_written(start, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file is a file" in start(f"output={tmp_path / 'file'}")
    assert "file is a file" in start(f"output={tmp_path / 'file/deeper/run'}")


def test_a_read_only_output(start, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root, who may write anywhere
    assert start().endswith(f"{tmp_path} is read-only")
    assert not (tmp_path / "run").exists()


def test_training_data(start, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "training.prepare" in start(f"data.root={tmp_path / 'none'}")
    assert "training.prepare" in start(f"data.root={tmp_path / 'empty'}")
    assert "no slice holds a target" in start("data.targets.min_pixels=1000000", f"data.index={tmp_path / 'index.npz'}")
    assert "no slice holds a target" in start("data.sampling.dataset_weights={'*': 0}")
    assert "an epoch has no samples" in start("data.sampling.samples_per_modality=0")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer.kind=adam", "optimizer.kind adam: one of adamw, sgd is needed"),
        ("schedule.kind=linear", "schedule.kind linear: one of stable, cosine, plateau is needed"),
        ("losses={dise: 1}", "losses dise: one of dice, focal, bce, border_bce, iou is needed"),
        ("losses={}", "no losses"),
        ("validation.every_epochs=0", "validation.every_epochs is 0"),
        ("budget.samples=0", "budget.samples is 0"),
        ("budget={minutes: -1}", "budget.minutes is -1"),
        ("data.batch_size=0", "data.batch_size is 0"),
        ("data.workers=0", "data.workers is 0"),
        ("log_steps=0", "log_steps is 0"),
        ("model=heavy", "unknown model 'heavy'"),
        ("device=gpu7", "device 'gpu7': "),
        ("init=none.pt", "none.pt: "),
        ("distillation={logits: 1, teacher: none.pt}", "none.pt: "),
        ("distillation={logits: 1}", "distillation needs a teacher"),
    ],
)
def test_settings(start, setting, message):
    assert message in start(setting)


@pytest.mark.parametrize("kind", [OptimizerConfig, ScheduleConfig])
def test_a_kind_is_refused_where_it_is_set(kind):
    with pytest.raises(ValueError, match="kind best"):
        kind(kind="best")
