"""Merging batch normalisation into the convolution before it, for export."""

from itertools import pairwise

import torch
from brevitas.nn import QuantConv2d
from torch import Tensor, nn

from training.quantization.layers import CONVOLUTION, with_parameters_of
from training.quantization.quantizers import weight_of_fixed_scale


@torch.no_grad()
def merge_batchnorm(model: nn.Module) -> nn.Module:
    """Merge each batch norm, with its running statistics, into the convolution before it in a Sequential; in place.

    The merged model computes what the model computed in eval mode. For quantized weights this holds to the integer:
    weights w of scale s, times a factor f per channel, become the same integers (up to sign) of scale s |f|.
    Raises ValueError where a batch norm follows something else.
    """
    for name, sequence in list(model.named_modules()):
        if not isinstance(sequence, nn.Sequential):
            continue
        for (before_name, before), (bn_name, bn) in pairwise(list(sequence.named_children())):
            if isinstance(before, nn.Conv2d) and isinstance(bn, nn.BatchNorm2d):
                model.set_submodule(f"{name}.{before_name}", merged(before, bn))
                model.set_submodule(f"{name}.{bn_name}", nn.Identity())
    left = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
    if left:
        raise ValueError(f"{left[0]}: no convolution before this batch norm to merge it into")
    model.batchnorm_merged = True
    return model


def merged(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution in the place of two modules."""
    factor = bn.weight / (bn.running_var + bn.eps).sqrt()  # (C,)
    per_channel = factor[:, None, None, None]
    if isinstance(conv, QuantConv2d):
        conv = with_fixed_scale(conv, conv.weight_quant.scale() * per_channel.abs())
    bias = torch.zeros_like(bn.bias) if conv.bias is None else conv.bias
    conv.weight = nn.Parameter(conv.weight * per_channel)
    conv.bias = nn.Parameter((bias - bn.running_mean) * factor + bn.bias)
    return conv


def with_fixed_scale(conv: QuantConv2d, scale: Tensor) -> QuantConv2d:
    """The same quantized convolution, its weight scales (C, 1, 1, 1) no longer taken from the weights."""
    arguments = {name: getattr(conv, name) for name in CONVOLUTION}
    fixed = with_parameters_of(conv, QuantConv2d(**arguments, weight_quant=weight_of_fixed_scale(scale)))
    fixed.input_quant = conv.input_quant
    return fixed.train(conv.training)
