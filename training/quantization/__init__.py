"""Quantization-aware training: `Recipe` says what is quantized, `quantize` and `calibrate` do it, `merge_batchnorm`
prepares the export."""

import warnings

warnings.filterwarnings("ignore", message="fast_hadamard_transform")  # Brevitas, of a method not used here

from training.quantization.batchnorm import merge_batchnorm  # noqa: E402
from training.quantization.quantize import calibrate, expect_scales, quantize, with_unsigned  # noqa: E402
from training.quantization.recipe import Recipe  # noqa: E402

__all__ = ["Recipe", "calibrate", "expect_scales", "merge_batchnorm", "quantize", "with_unsigned"]
