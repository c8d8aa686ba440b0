"""The training loop: exact resumption after a kill, schedules, averaging, budgets, and what it writes."""

import copy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from tests.support.data_root import write_phantom_root
from training.model.checkpoint import load_model, read_checkpoint
from training.train import main
from training.trainer import schedule
from training.trainer.config import BudgetConfig, ScheduleConfig, TrainConfig, apply_override, read_config
from training.trainer.ema import update_ema
from training.trainer.step import mean_per_image

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIGS = sorted((REPOSITORY / "training/configs").glob("*.yaml"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> dict:
    """A run of eight steps on phantoms, two images a step, in float32 on one thread."""
    root = write_phantom_root(tmp_path_factory.mktemp("data"))
    return {
        "model": "light",
        "data": {"root": str(root), "batch_size": 2, "sampling": {"samples_per_modality": 2}},
        "budget": {"samples": 16},
        "losses": {"dice": 1.0, "border_bce": 1.0, "iou": 0.1},
        "optimizer": {"lr": 0.001, "clip_norm": 1.0},
        "schedule": {"warmup_steps": 2, "cooldown": 0.5},
        "ema": 0.9,
        "threads": 1,
        "log_steps": 1,
    }


def write_settings(folder: Path, settings: dict, **changes) -> Path:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(settings | {"output": str(folder / "run")} | changes))
    return path


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = read_checkpoint(folder / "run/last.pt")
    return checkpoint.state | {f"average.{name}": value for name, value in checkpoint.extra["average"].items()}


@pytest.fixture(scope="module")
def uninterrupted(settings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert main(["--config", str(write_settings(folder, settings))]) == 0
    return folder


@pytest.mark.slow
def test_a_run_that_is_killed_ends_where_an_uninterrupted_one_does(settings, uninterrupted, tmp_path):
    config = write_settings(tmp_path, settings, checkpoint_minutes=0)  # save after every step
    command = [sys.executable, "-m", "training.train", "--config", str(config)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    last = tmp_path / "run/last.pt"
    while not last.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 1 <= read_checkpoint(last).extra["state"]["step"] < 8

    assert main(["--config", str(config)]) == 0
    expected, resumed = state_of(uninterrupted), state_of(tmp_path)
    assert expected.keys() == resumed.keys()
    assert [name for name in expected if not torch.equal(expected[name], resumed[name])] == []
    before, after = (pd.read_csv(folder / "run/steps.csv") for folder in (uninterrupted, tmp_path))
    assert before["loss"].tolist() == after["loss"].tolist()
    assert before["step"].tolist() == list(range(1, 9))


def test_a_run_leaves_weights_log_and_plot(uninterrupted):
    folder = uninterrupted / "run"
    half, best = load_model(folder / "best_half.pt"), load_model(folder / "best.pt")
    assert (folder / "best_half.pt").stat().st_size < 15e6
    for name, value in best.state_dict().items():
        torch.testing.assert_close(half.state_dict()[name], value, rtol=2e-3, atol=1e-4)
    average = read_checkpoint(folder / "last.pt").extra["average"]
    assert all(torch.equal(average[name], value) for name, value in best.state_dict().items())
    steps = pd.read_csv(folder / "steps.csv")
    assert {"loss", "dice", "border_bce", "iou", "lr", "gradient_norm", "loader_share"} <= set(steps)
    assert steps["samples"].tolist() == list(range(2, 17, 2))
    assert steps["lr"].iloc[[0, 1, 4, 7]].tolist() == pytest.approx([5e-4, 1e-3, 1e-3, 2.5e-4])
    assert (folder / "log.png").stat().st_size > 10_000
    assert list(folder.glob(".*tmp")) == []


@pytest.mark.slow
def test_a_finished_run_is_extended_from_before_its_cooldown(settings, uninterrupted, tmp_path):
    before = uninterrupted / "run/before_cooldown.pt"
    assert read_checkpoint(before).extra["state"]["step"] == 4  # half of the budget of 8 steps
    longer = write_settings(tmp_path, settings, budget={"samples": 20})
    assert main(["--config", str(longer), "--resume", str(before)]) == 0
    steps = pd.read_csv(tmp_path / "run/steps.csv")
    assert steps["step"].tolist() == list(range(1, 11))
    assert steps["lr"].iloc[4] == pytest.approx(1e-3)  # constant again where the shorter run was cooling down


def test_weights_alone_are_no_run_to_resume(settings, uninterrupted, tmp_path, capsys):
    config = write_settings(tmp_path, settings)
    assert main(["--config", str(config), "--resume", str(uninterrupted / "run/best.pt")]) == 2
    assert "best.pt: holds weights only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stage=7", "stage 7"),
        ("stage=1", "set init=PATH"),
        ("precision=int3", "int3"),
        ("budget={}", "no budget"),
        ("data.augmentation.cropp=1", "cropp"),
        ("optimizer.lr", "expected key=value"),
        ("optimizer.lr=fast", "optimizer.lr is 'fast', a number is needed"),
        ("ema.decay=1", "ema is a value"),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings, tmp_path, capsys, change, message):
    assert main(["--config", str(write_settings(tmp_path, settings)), change]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_missing_checkpoint_is_named(settings, tmp_path, capsys):
    assert main(["--config", str(write_settings(tmp_path, settings)), "init=none.pt"]) == 2
    assert "none.pt" in capsys.readouterr().err


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_in_the_repository_is_valid(path):
    overrides = ["init=any.pt"] if yaml.safe_load(path.read_text()).get("stage", 0) else []
    assert isinstance(read_config(path, overrides), TrainConfig)


def test_numbers_that_yaml_takes_for_text_are_numbers(settings, tmp_path):
    config = read_config(write_settings(tmp_path, settings), ["optimizer.lr=1e-3", "budget.minutes=2e1"])
    assert (config.optimizer.lr, config.budget.minutes) == (0.001, 20)


def test_overrides_reach_nested_settings():
    values = {"optimizer": {"lr": 1}}
    apply_override(values, "optimizer.lr=0.5")
    apply_override(values, "data.boxes.per_image=2")
    assert values == {"optimizer": {"lr": 0.5}, "data": {"boxes": {"per_image": 2}}}


def test_the_paper_schedule():
    config = ScheduleConfig(kind="cosine")
    rates = [schedule.cosine(config, epoch) for epoch in range(15)]
    assert rates[:6] == pytest.approx([0.01, 0.208, 0.406, 0.604, 0.802, 1.0])
    assert rates[14] == pytest.approx(0.001)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[5] - rates[6] == pytest.approx(0.999 * (1 - np.cos(np.pi / 9)) / 2)


def test_the_stable_schedule_does_not_know_the_budget_before_its_cooldown():
    config = ScheduleConfig(warmup_steps=4, cooldown=0.25)
    assert [schedule.stable(config, step, 0.1) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert schedule.stable(config, 100, 0.75) == 1
    assert schedule.stable(config, 100, 0.875) == pytest.approx(0.5)
    assert schedule.stable(config, 100, 1.0) == 0


def test_the_nearest_limit_of_the_budget_counts():
    budget = BudgetConfig(samples=100, minutes=10)
    assert schedule.progress(budget, 0, 50, 2) == 0.5
    assert schedule.progress(budget, 0, 50, 8) == 0.8
    assert schedule.progress(budget, 0, 200, 0) == 1


def test_the_average_starts_as_the_model_and_follows_it():
    model = nn.BatchNorm1d(2)
    average = copy.deepcopy(model)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.running_mean.fill_(1.0)
    model.num_batches_tracked.fill_(7)
    update_ema(average, model, decay=0.9, step=0)  # 1/10 kept in the first step
    assert average.weight.tolist() == pytest.approx([0.1 * 1 + 0.9 * 3] * 2)
    update_ema(average, model, decay=0.9, step=10_000)
    assert average.weight.tolist() == pytest.approx([0.9 * 2.8 + 0.1 * 3] * 2)
    assert average.running_mean.tolist() == pytest.approx([0.9 * 0.9 + 0.1] * 2)
    assert average.num_batches_tracked == 7


def test_mean_per_image():
    means = mean_per_image(torch.tensor([0.5, 1.0, 0.2]), torch.tensor([0, 0, 2]), 3)
    assert means.tolist() == pytest.approx([0.75, 0.0, 0.2])
