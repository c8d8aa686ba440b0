"""Quantized counterparts of the layers of a model. Each keeps the weights and, in the state dictionary, the names."""

from brevitas import nn as qnn
from torch import Tensor, nn

from training.model.layers import MatMul
from training.quantization.quantizers import Activation, UnsignedActivation, weight_quantizer
from training.quantization.recipe import Recipe

CONVOLUTION = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
COUNTERPARTS = {  # the Brevitas layer, and the arguments to build it from
    nn.Linear: (qnn.QuantLinear, ("in_features", "out_features")),
    nn.Conv2d: (qnn.QuantConv2d, CONVOLUTION),
    nn.ConvTranspose2d: (qnn.QuantConvTranspose2d, (*CONVOLUTION, "output_padding")),
}


class QuantMatMul(nn.Module):
    """A product of two activations, both of them quantized."""

    def __init__(self) -> None:
        super().__init__()
        self.left = qnn.QuantIdentity(act_quant=Activation)
        self.right = qnn.QuantIdentity(act_quant=Activation)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.left(a) @ self.right(b)


def has_counterpart(layer: nn.Module, recipe: Recipe) -> bool:
    """Whether the layer is of a kind that the recipe quantizes."""
    return recipe.attention_products if isinstance(layer, MatMul) else type(layer) in COUNTERPARTS


def counterpart(layer: nn.Module, recipe: Recipe) -> nn.Module:
    """The quantized counterpart of a layer, sharing its parameters."""
    if isinstance(layer, MatMul):
        return QuantMatMul()
    kind, names = COUNTERPARTS[type(layer)]
    arguments = {name: getattr(layer, name) for name in names}
    weight_quant = weight_quantizer(recipe.weights, recipe.weight_bits)
    return with_parameters_of(layer, kind(**arguments, input_quant=Activation, weight_quant=weight_quant))


def drop_sign(layer: nn.Module) -> None:
    """Quantize the input of a quantized layer without a sign bit from now on; its scale is to be set."""
    quantizer = qnn.QuantIdentity(act_quant=UnsignedActivation).act_quant
    layer.input_quant = quantizer.to(layer.weight.device).train(layer.training)


def with_parameters_of(source: nn.Module, target: nn.Module) -> nn.Module:
    target.weight, target.bias = source.weight, source.bias
    return target.to(source.weight.device)
