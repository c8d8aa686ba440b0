"""Convolutions of runs of pixels.

A convolution of few channels leaves most of a matrix unit idle. Where each run of pixels in a row is taken as one pixel
of as many times the channels, it has the same results, and more to do at once.
"""

import torch
from brevitas import nn as qnn
from torch import Tensor, nn

from training.quantization.quantizers import weight_of_fixed_scale


def on_runs(conv: nn.Conv2d, length: int, order: Tensor) -> nn.Conv2d:
    """A 3 x 3 convolution of padding 1 for maps of runs: (N, length * C, h, w / length) -> (N, length * C', h, ...).

    The channels of a run are those of its pixels, one pixel after the other. Quantized weights stay the same integers.

    Args:
        order: int64 (length * C',), which of the results, one pixel after the other, comes where.
    """
    weight = torch.cat([for_pixel(conv.weight.detach(), pixel, length) for pixel in range(length)])[order]
    channels_out, channels_in = weight.shape[:2]
    if isinstance(conv, qnn.QuantConv2d):
        scale = conv.weight_quant.scale().detach().expand(conv.out_channels, 1, 1, 1).repeat(length, 1, 1, 1)
        quantizer = weight_of_fixed_scale(scale[order])
        made = qnn.QuantConv2d(channels_in, channels_out, 3, padding=1, weight_quant=quantizer)
        made.input_quant = conv.input_quant
    else:
        made = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    made.weight = nn.Parameter(weight)
    made.bias = nn.Parameter(conv.bias.detach().repeat(length)[order])
    return made


def for_pixel(weight: Tensor, pixel: int, length: int) -> Tensor:
    """Weights (C', C, 3, 3) for one pixel of a run, as weights of all pixels of the runs around it:
    (C', length * C, 3, 3)."""
    on_row = weight.new_zeros(*weight.shape[:3], 3 * length)
    on_row[..., length + pixel - 1 : length + pixel + 2] = weight
    return on_row.unflatten(3, (3, length)).permute(0, 4, 1, 2, 3).flatten(1, 2)
