"""Validation of a run: one that was stopped is made up for, exactly once, and only validated weights are the best."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.support.data_root import write_phantom_root, write_validation_case
from tests.support.small_run import STEPS_PER_EPOCH, same_weights, scored, small_run
from tests.support.small_sam import small_sam
from training.model import MODELS
from training.model.checkpoint import read_checkpoint
from training.trainer.config import TrainConfig
from training.trainer.loop import train

VALIDATE = "training.trainer.validation.validate"
PLOT = "training.trainer.run.plot"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_phantom_root(root / "train")
    write_validation_case(root / "val", "2DBox_US_0001.npz", seed=1)
    return root


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(MODELS, "small", small_sam)
    monkeypatch.setattr(PLOT, lambda *_: None)  # takes longer than an epoch


@pytest.fixture
def run(root, tmp_path) -> Callable[[str], TrainConfig]:
    """Four epochs, validated after the second and the last, in a folder of that name."""
    settings = ["budget.epochs=4", "validation.every_epochs=2", f"validation.root={root / 'val'}"]
    return lambda name, *overrides: small_run(root / "train", tmp_path / name, *settings, *overrides)


def validations(scores: list[float], stopped: set[int] = frozenset()) -> Iterator[pd.DataFrame]:
    """Results of one validation after the other; the calls of these numbers are stopped instead."""
    call = 0
    for score in scores:
        while call in stopped:
            call += 1
            yield None
        call += 1
        yield scored(score)


def answering(results: Iterator[pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    def validate(*_: object) -> pd.DataFrame:
        result = next(results)
        if result is None:
            raise KeyboardInterrupt
        return result

    return validate


def train_until_done(config: TrainConfig) -> int:
    """Start a run again whenever it is stopped; how often it was."""
    for stops in range(10):
        try:
            train(config)
        except KeyboardInterrupt:
            continue
        return stops
    raise AssertionError("the run never ends")


def logged(folder: Path) -> list[list[float]]:
    """Step and score of each row of the log of epochs; -1 where there was no validation."""
    return pd.read_csv(folder / "epochs.csv")[["step", "dsc_mean"]].fillna(-1).to_numpy().tolist()


@pytest.mark.parametrize("stopped", [{0}, {1}, {0, 1, 3}], ids=["intermediate", "last", "both, one of them twice"])
def test_a_validation_that_was_stopped_is_made_up_for_once(run, tmp_path, monkeypatch, stopped):
    monkeypatch.setattr(VALIDATE, answering(validations([0.5, 0.6])))
    train(run("whole"))

    results = validations([0.5, 0.6], stopped)
    monkeypatch.setattr(VALIDATE, answering(results))
    assert train_until_done(run("stopped")) == len(stopped)
    assert list(results) == []
    train(run("stopped"))  # a finished run validates no more: there is no result left

    whole, made_up = tmp_path / "whole", tmp_path / "stopped"
    expected = [[3, -1], [6, 0.5], [9, -1], [12, 0.6]]
    assert logged(whole) == logged(made_up) == expected
    for name in ("best.pt", "best_half.pt", "last.pt"):
        assert same_weights(whole / name, made_up / name), name
    facts = read_checkpoint(made_up / "best.pt").extra
    assert facts == {"samples": 4 * STEPS_PER_EPOCH * 2, "dsc": {"US": 0.6, "mean": 0.6}}


@pytest.mark.parametrize("at", [1, 3], ids=["intermediate", "last"])
def test_a_run_that_was_stopped_after_its_validation_but_before_that_was_saved_repeats_it(
    run, tmp_path, monkeypatch, at
):
    plots = iter(range(100))

    def plot(*_: object) -> None:
        if next(plots) == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(PLOT, plot)
    monkeypatch.setattr(VALIDATE, answering(validations([0.5, 0.5, 0.6] if at == 1 else [0.5, 0.6, 0.6])))
    assert train_until_done(run("stopped")) == 1
    assert logged(tmp_path / "stopped") == [[3, -1], [6, 0.5], [9, -1], [12, 0.6]]
    assert read_checkpoint(tmp_path / "stopped/best.pt").extra["dsc"]["mean"] == 0.6


def test_a_run_that_was_stopped_in_a_validation_by_version_0_1_goes_on(run, tmp_path, monkeypatch):
    monkeypatch.setattr(VALIDATE, answering(validations([0.5], {0})))
    with pytest.raises(KeyboardInterrupt):
        train(run("old", "budget.epochs=2"))
    content = torch.load(tmp_path / "old/last.pt", weights_only=True)
    content["state"]["epoch_losses"] = []
    torch.save(content, tmp_path / "old/last.pt")
    train(run("old", "budget.epochs=2"))
    assert logged(tmp_path / "old") == [[3, -1], [6, 0.5]]


def test_a_finished_run_without_validation_is_left_as_it_is(run, tmp_path):
    train(run("run", "validation.root=null"))
    before = (tmp_path / "run/last.pt").stat().st_mtime_ns
    train(run("run", "validation.root=null"))
    assert (tmp_path / "run/last.pt").stat().st_mtime_ns == before
    assert len(pd.read_csv(tmp_path / "run/epochs.csv")) == 4


def test_weights_that_were_not_validated_never_replace_the_best(run, tmp_path, monkeypatch):
    monkeypatch.setattr(VALIDATE, answering(validations([0.9, 0.1])))
    train(run("run"))
    facts = read_checkpoint(tmp_path / "run/best.pt").extra
    assert facts == {"samples": 2 * STEPS_PER_EPOCH * 2, "dsc": {"US": 0.9, "mean": 0.9}}


def test_a_run_ends_when_its_scores_rise_no_more(run, monkeypatch):
    monkeypatch.setattr(VALIDATE, answering(validations([0.5, 0.7, 0.6, 0.7, 0.9])))
    stopped = train(run("stopped", "budget.epochs=5", "validation.every_epochs=1", "budget.patience=2"))
    assert [row["dsc_mean"] for row in stopped.state.epochs] == [0.5, 0.7, 0.6, 0.7]
    # Started again, it is over: nothing is validated any more, though a score is left.
    again = train(run("stopped", "budget.epochs=5", "validation.every_epochs=1", "budget.patience=2"))
    assert again.state.step == stopped.state.step == 4 * STEPS_PER_EPOCH
