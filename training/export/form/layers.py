"""Parts and combinations of layers, floating-point or quantized, for graphs arranged otherwise than the model."""

from brevitas import nn as qnn
from torch import Tensor, nn

from training.quantization.layers import QuantMatMul
from training.quantization.quantizers import Activation, weight_of_fixed_scale


def rows(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h * w, C)."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def to_map(x: Tensor, height: int, width: int) -> Tensor:
    """Inverse of `rows`: (B, height * width, C) -> (B, C, height, width)."""
    return x.unflatten(1, (height, width)).permute(0, 3, 1, 2)


def quantizer_of_input(layer: nn.Linear) -> nn.Module:
    """What a layer does to its input before anything else: quantize it, or nothing."""
    if not isinstance(layer, qnn.QuantLinear):
        return nn.Identity()
    quantizer = qnn.QuantIdentity(act_quant=Activation)
    quantizer.act_quant = layer.input_quant
    return quantizer


def quantizers_of_product(product: nn.Module) -> tuple[nn.Module, nn.Module]:
    """What a product of attention does to its left and right input."""
    return (product.left, product.right) if isinstance(product, QuantMatMul) else (nn.Identity(), nn.Identity())


def some_outputs(layer: nn.Linear, features: Tensor, factor: float) -> nn.Linear:
    """A linear layer with some of the output features (int64) of another, times a positive factor.

    Quantized weights stay the same integers. The quantizer of the input is left out.
    """
    shape = (layer.in_features, len(features))
    if isinstance(layer, qnn.QuantLinear):
        scale = layer.weight_quant.scale().detach().expand(layer.out_features, 1)[features] * factor
        part = qnn.QuantLinear(*shape, weight_quant=weight_of_fixed_scale(scale))
    else:
        part = nn.Linear(*shape)
    part.weight = nn.Parameter(layer.weight.detach()[features] * factor)
    part.bias = nn.Parameter(layer.bias.detach()[features] * factor)
    return part


def without_affine(norm: nn.LayerNorm, layer: nn.Linear) -> tuple[nn.LayerNorm, nn.Linear]:
    """A layer norm and the only layer behind it, with the norm's weight and bias taken into the layer.

    Both as they are where the layer is quantized: its scale is that of the input after the affine part.
    """
    if isinstance(layer, qnn.QuantLinear):
        return norm, layer
    return nn.LayerNorm(norm.normalized_shape, norm.eps, elementwise_affine=False), after_affine(layer, norm)


def after_affine(layer: nn.Linear, norm: nn.LayerNorm) -> nn.Linear:
    """The linear layer for an input that has not yet been through the weight and bias of its layer norm."""
    absorbed = nn.Linear(layer.in_features, layer.out_features)
    absorbed.weight = nn.Parameter(layer.weight.detach() * norm.weight.detach())
    absorbed.bias = nn.Parameter(layer.bias.detach() + layer.weight.detach() @ norm.bias.detach())
    return absorbed
