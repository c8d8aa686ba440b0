"""The files of a run: a checkpoint of everything that resuming needs, the weights worth keeping, the log."""

import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import mean

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from training.model.checkpoint import CheckpointError, load_state, read_checkpoint, save_checkpoint
from training.scoring.csv_table import write_csv
from training.trainer.log import Rows, plot

LAST, BEST, BEST_HALF, BEFORE_COOLDOWN = "last.pt", "best.pt", "best_half.pt", "before_cooldown.pt"


@dataclass
class RunState:
    """How far a run has come.

    seconds: training time without validation. epoch_losses: of the steps of the epoch that is not finished or not
    logged yet. steps, epochs: rows of the log.
    """

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    best_dsc: float = -1.0
    epoch_losses: list[float] = field(default_factory=list)
    steps: Rows = field(default_factory=list)
    epochs: Rows = field(default_factory=list)

    @property
    def epoch_loss(self) -> float:
        """Mean loss of the epoch. Checkpoints of version 0.1 that were stopped in a validation have lost its steps':
        the last row of the log stands for them."""
        return mean(self.epoch_losses or [self.steps[-1]["loss"]])

    @property
    def is_logged(self) -> bool:
        """Whether the log of epochs has come as far as the steps; if so, nothing of an epoch is left to do."""
        return bool(self.epochs) and self.epochs[-1]["step"] == self.step


@dataclass
class Run:
    """All that changes while a run goes on. average: the EMA model, or None. plateau: or None. saved: when `save`
    last ended."""

    folder: Path
    model: nn.Module
    average: nn.Module | None
    optimizer: Optimizer
    plateau: ReduceLROnPlateau | None
    state: RunState = field(default_factory=RunState)
    saved: float = field(default_factory=time.monotonic)

    @property
    def kept(self) -> nn.Module:
        """The model that is validated and kept."""
        return self.average if self.average is not None else self.model

    def save(self, name: str = LAST) -> None:
        """Write everything that an exact resumption needs, atomically, and the log beside it."""
        save_checkpoint(
            self.folder / name,
            self.model,
            average=self.average.state_dict() if self.average is not None else None,
            optimizer=self.optimizer.state_dict(),
            plateau=self.plateau.state_dict() if self.plateau is not None else None,
            state={entry.name: getattr(self.state, entry.name) for entry in fields(RunState)},
        )
        write_csv(self.folder / "steps.csv", self.state.steps)
        self.saved = time.monotonic()

    def is_older_than(self, minutes: float) -> bool:
        """Whether the last `save` was longer ago."""
        return time.monotonic() - self.saved > 60 * minutes

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of `save`.

        Raises:
            CheckpointError: the file is unusable, or of a run of another kind.
        """
        checkpoint = read_checkpoint(path)
        extra = checkpoint.extra
        if "optimizer" not in extra:
            raise CheckpointError(f"{path}: holds weights only, nothing to resume from; use it as init")
        if (extra["average"] is None) != (self.average is None):
            raise CheckpointError(f"{path}: was written with another setting of ema")
        load_state(self.model, checkpoint.state, path)
        if self.average is not None:
            load_state(self.average, extra["average"], path)
        self.optimizer.load_state_dict(extra["optimizer"])
        if self.plateau is not None and extra["plateau"] is not None:
            self.plateau.load_state_dict(extra["plateau"])
        self.state = RunState(**extra["state"])

    def finish_epoch(self, scores: dict[str, float]) -> None:
        """Log an epoch with its DSC per modality (empty: not validated), and keep its weights if they are the best, or
        the latest of a run that has not been validated yet."""
        state = self.state
        row = {"step": state.step, "samples": state.samples, "minutes": round(state.seconds / 60, 2)}
        state.epochs.append(row | {f"dsc_{name}": round(value, 5) for name, value in scores.items()})
        if scores.get("mean", -1.0) >= state.best_dsc:
            state.best_dsc = scores.get("mean", state.best_dsc)
            facts = {"samples": state.samples, "dsc": scores}
            save_checkpoint(self.folder / BEST, self.kept, **facts)
            save_checkpoint(self.folder / BEST_HALF, self.kept, half=True, **facts)
        write_csv(self.folder / "epochs.csv", state.epochs)
        plot(self.folder / "log.png", state.steps, state.epochs)
