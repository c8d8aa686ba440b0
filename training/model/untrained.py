"""Weights for a model that nobody has trained: random, reproducible, and with masks that are neither empty nor full."""

import zlib

import numpy as np
import torch
from torch import Tensor, nn


@torch.no_grad()
def fill_randomly(model: nn.Module, seed: int) -> None:
    """Fill every floating-point parameter and buffer of the state dictionary from its own name and the seed.

    Matrices and kernels are scaled by 1 / sqrt(fan-in), so that signals neither die nor explode on the way through.
    """
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            value.copy_(torch.from_numpy(random_values(name, value, rng).astype(np.float32)))
    model.train(model.training)  # in eval mode, TinyViT looks up its attention biases again


def random_values(name: str, like: Tensor, rng: np.random.Generator) -> np.ndarray:
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, like.shape)
    normal = rng.standard_normal(like.shape)
    if name.endswith("positional_encoding_gaussian_matrix"):
        return normal
    if like.ndim >= 2:
        return normal / np.sqrt(like[0].numel())
    if name.endswith("weight"):
        return 1 + 0.1 * normal
    return 0.1 * normal
