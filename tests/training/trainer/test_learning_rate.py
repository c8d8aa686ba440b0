"""Yu's schedule in a run: the learning rate falls where the loss of an epoch is no better than the best."""

import pandas as pd
import pytest

from tests.support.data_root import write_phantom_root
from tests.support.small_run import STEPS_PER_EPOCH, same_weights, scored, small_run
from tests.support.small_sam import small_sam
from training.model import MODELS
from training.trainer.loop import train

EPOCHS, FACTOR, PATIENCE, START = 8, 0.5, 1, 0.001
THRESHOLD = 1 - 1e-4  # of torch: less is no better


def expected_rates(losses: list[float]) -> list[float]:
    """The learning rate of each epoch, by the rule: PATIENCE epochs no better than the best pass, one more lowers."""
    rates, best, worse = [START], float("inf"), 0
    for loss in losses:
        best, worse = (loss, 0) if loss < best * THRESHOLD else (best, worse + 1)
        lowered = worse > PATIENCE
        rates.append(rates[-1] * (FACTOR if lowered else 1))
        worse = 0 if lowered else worse
    return rates[:-1]


def test_a_plateau_lowers_the_learning_rate_also_over_a_stop(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "small", small_sam)
    monkeypatch.setattr("training.trainer.run.plot", lambda *_: None)
    root = write_phantom_root(tmp_path / "data")
    plan = f"schedule={{kind: plateau, plateau_factor: {FACTOR}, plateau_patience: {PATIENCE}}}"
    settings = [plan, f"optimizer.lr={START}", f"budget.epochs={EPOCHS}", "validation.root=unused"]
    monkeypatch.setattr("training.trainer.loop.check_run", lambda config: None)

    monkeypatch.setattr("training.trainer.validation.validate", lambda *_: scored(0.5))
    train(small_run(root, tmp_path / "whole", *settings))
    steps = pd.read_csv(tmp_path / "whole/steps.csv")
    epochs = (steps["step"] - 1) // STEPS_PER_EPOCH
    losses, rates = (steps.groupby(epochs)[name].mean().tolist() for name in ("loss", "lr"))
    assert len(rates) == EPOCHS
    assert rates == pytest.approx(expected_rates(losses))
    assert rates[-1] < START

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for _ in range(2):  # stopped in the first validation, and again when that is made up for
        monkeypatch.setattr("training.trainer.validation.validate", stop)
        with pytest.raises(KeyboardInterrupt):
            train(small_run(root, tmp_path / "stopped", *settings))
    monkeypatch.setattr("training.trainer.validation.validate", lambda *_: scored(0.5))
    train(small_run(root, tmp_path / "stopped", *settings, "budget.epochs=4"))
    train(small_run(root, tmp_path / "stopped", *settings))
    again = pd.read_csv(tmp_path / "stopped/steps.csv")
    assert again["lr"].tolist() == steps["lr"].tolist()
    assert same_weights(tmp_path / "whole/last.pt", tmp_path / "stopped/last.pt")
