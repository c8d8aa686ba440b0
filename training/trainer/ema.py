"""Exponential moving average of a model's weights: what is validated and kept in stage 0."""

import torch
from torch import nn


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move `average` towards `model` by 1 - decay, faster in the first steps, so that it forgets the initialisation.

    BatchNorm's running statistics are averaged with the weights they belong to.
    """
    decay = min(decay, (1 + step) / (10 + step))
    values = model.state_dict()
    averaged, current = [], []
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            averaged.append(value)
            current.append(values[name].detach())
        else:
            value.copy_(values[name])
    torch._foreach_lerp_(averaged, current, 1 - decay)
