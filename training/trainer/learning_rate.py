"""The learning rate of an optimiser: set from a run's progress, or lowered when its loss stalls."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from training.trainer import schedule
from training.trainer.config import ScheduleConfig, TrainConfig


def make_plateau(optimizer: Optimizer, config: ScheduleConfig) -> ReduceLROnPlateau | None:
    """What lowers the learning rate after an epoch, where the schedule is `plateau` (Yu)."""
    if config.kind != "plateau":
        return None
    return ReduceLROnPlateau(optimizer, factor=config.plateau_factor, patience=config.plateau_patience)


def set_learning_rate(optimizer: Optimizer, config: TrainConfig, step: int, epoch: int, done: float) -> None:
    """Set the learning rate of the coming step; under `plateau` it stays what it is.

    Args:
        step, epoch: numbers of the coming step and of its epoch. done: finished part of the budget, 0..1.
    """
    if config.schedule.kind == "plateau":
        return
    if config.schedule.kind == "cosine":
        factor = schedule.cosine(config.schedule, epoch)
    else:
        factor = schedule.stable(config.schedule, step, done)
    for group in optimizer.param_groups:
        group["lr"] = config.optimizer.lr * factor
