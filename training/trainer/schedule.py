"""Learning rates as factors of the configured one: pure functions, so that a resumed run needs no state for them."""

import math

from training.trainer.config import BudgetConfig, ScheduleConfig


def progress(budget: BudgetConfig, epoch: float, samples: int, minutes: float) -> float:
    """Finished part of the budget, 0..1: that of the limit which is nearest."""
    used = [(epoch, budget.epochs), (samples, budget.samples), (minutes, budget.minutes)]
    return min(1.0, max(done / limit for done, limit in used if limit is not None))


def stable(config: ScheduleConfig, step: int, done: float) -> float:
    """Warm-up, constant, cool-down. Whatever comes before the cool-down is the same for every budget, so a run can be
    extended from there.

    Args:
        step: optimiser steps so far. done: finished part of the budget, 0..1.
    """
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    cooldown = min(1.0, (1.0 - done) / config.cooldown) if config.cooldown > 0 else 1.0
    return warmup * cooldown


def cosine(config: ScheduleConfig, epoch: int) -> float:
    """QMedSAM's: linear from `warmup_start` over `warmup_epochs`, then a cosine whose half period is
    `cosine_epochs` - 1, so that the last epoch runs at `cosine_end`."""
    if epoch < config.warmup_epochs:
        return config.warmup_start + (1 - config.warmup_start) * epoch / config.warmup_epochs
    phase = min(1.0, (epoch - config.warmup_epochs) / max(1, config.cosine_epochs - 1))
    return config.cosine_end + (1 - config.cosine_end) * (1 + math.cos(math.pi * phase)) / 2
