"""The Brevitas quantizers of QMedSAM: q = clip(round(x / scale)), straight-through gradient."""

from brevitas.inject.enum import RestrictValueType, ScalingImplType
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    Uint8ActPerTensorFloat,
)
from torch import Tensor

from training.quantization.recipe import PER_CHANNEL, PER_TENSOR


class Activation(Int8ActPerTensorFloat):
    """-128..127, one scale, learned.

    It starts at 1/128 of the 99.999th percentile of |x|, averaged over the calibration batches. The parameter is the
    scale's logarithm: a step changes a scale in proportion, so that scales of 0.001 and of 1 learn at one learning rate
    and none can turn negative.
    """

    restrict_scaling_type = RestrictValueType.LOG_FP


class UnsignedActivation(Uint8ActPerTensorFloat):
    """0..255: the same for what is never negative, as after a ReLU, at half the step."""

    restrict_scaling_type = RestrictValueType.LOG_FP


def weight_quantizer(kind: str, bits: int) -> type[Int8WeightPerTensorFloat]:
    """-n..n with n = 2^(bits - 1) - 1, from 127 of 8 bits to 7 of 4; scale max |w| / n of the weights as they are at
    every step.

    kind: `per_channel` or `per_tensor`.
    """
    quantizer = {PER_CHANNEL: Int8WeightPerChannelFloat, PER_TENSOR: Int8WeightPerTensorFloat}[kind]
    return quantizer.let(bit_width=bits)


def weight_of_fixed_scale(scale: Tensor) -> type[Int8WeightPerChannelFloat]:
    """Weight quantizer with given scales per output channel, in the shape that broadcasts to the weights.

    Of 8 bits, whatever the scales were found for: weights of fewer bits stay the same, smaller integers.
    """
    largest_integer = 127
    return Int8WeightPerChannelFloat.let(
        scaling_impl_type=ScalingImplType.PARAMETER, scaling_init=scale * largest_integer
    )
