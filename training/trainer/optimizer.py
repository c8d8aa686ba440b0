"""The optimiser of a run and its one update per step."""

import math

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from training.trainer.config import OptimizerConfig
from training.trainer.processes import Processes


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """The optimiser of the parameters that have gradients; vectors and scalars are not decayed."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    if config.kind == "sgd":
        return SGD(groups, lr=config.lr, momentum=config.momentum)
    return AdamW(groups, lr=config.lr)


def update_weights(optimizer: Optimizer, loss: Tensor, clip_norm: float, processes: Processes) -> tuple[float, float]:
    """Follow the gradient of a loss by one step; one that is not finite changes nothing.

    Args:
        loss: of this process' share of the batch.
        clip_norm: largest norm of the gradient, 0 for any.

    Returns:
        The loss of the whole batch, and the norm of its gradient.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(trained, clip_norm or float("inf"))
    # The host waits for a GPU here and nowhere else in a step.
    loss_value, norm_value = torch.stack([processes.mean(loss), norm]).tolist()
    if math.isfinite(norm_value):  # one step with an overflow would spoil the weights and every step after it
        optimizer.step()
    return loss_value, norm_value
