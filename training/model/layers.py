"""Small modules that several encoders and decoders share."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class ConvBN(nn.Sequential):
    """Convolution without bias followed by batch normalisation, under TinyViT's names `c` and `bn`."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        self.add_module("c", nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(c_out))


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of (B, C, H, W), as in SAM."""

    def __init__(self, channels: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        variance = centred.square().mean(1, keepdim=True)
        normalised = centred / (variance + self.eps).sqrt()
        return normalised * self.weight[:, None, None] + self.bias[:, None, None]


class MatMul(nn.Module):
    """`a @ b` as a module, so that quantization can find and replace products of two activations by name."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b


class MLP(nn.Module):
    """`depth` linear layers with ReLU between them (SAM's hypernetworks and IoU head)."""

    def __init__(self, width_in: int, width: int, width_out: int, depth: int):
        super().__init__()
        widths = [width_in] + [width] * (depth - 1) + [width_out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


def neck(c_in: int, c_out: int) -> nn.Sequential:
    """SAM's neck: (B, c_in, H, W) features to the (B, c_out, H, W) image embedding."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 1, bias=False),
        LayerNorm2d(c_out),
        nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
        LayerNorm2d(c_out),
    )
