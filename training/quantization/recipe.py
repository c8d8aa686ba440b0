"""What is quantized: the one place that says so.

A recipe is written into a training configuration as a plain mapping, for instance

    quantization:
      mask_decoder: false            # stage 1: the image encoder alone
      weights: per_tensor
      attention_products: true
      keep_float:                    # the first convolution and the neck stay floating point
        - image_encoder.patch_embed.seq.0.*
        - image_encoder.neck.*

and travels in the checkpoint, so that a quantized model can be built again from the checkpoint alone.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

PER_TENSOR, PER_CHANNEL = "per_tensor", "per_channel"
WEIGHT_BITS = (3, 4, 5, 6, 7, 8)


@dataclass(frozen=True)
class Recipe:
    """Always symmetric; activations in 8 bits per tensor with a learned scale. Always floating point: biases,
    normalisation, activation functions and the prompt encoder (QMedSAM).

    image_encoder, mask_decoder: quantize the linear layers and convolutions of this part, their inputs and weights.
    weights: `per_channel`, one scale per output channel, or `per_tensor`, one per layer.
    weight_bits: 3 to 8. 8 is QMedSAM's; 7 gives the same results on CPUs without VNNI: they add two products of an
        activation and a weight in 16 bits, which hold every such sum only if the weights have a bit less. Fewer show
        what quantization costs; the file stays int8 and gets no smaller or quicker.
    attention_products: quantize both inputs of products of two activations: query x key, attention x value, and at the
        end of SAM's mask decoder hypernetwork x enlarged embedding (`mask_decoder.mask_product`).
    signed: every activation keeps its sign bit, as in QMedSAM; otherwise calibration drops it where no input is
        negative, which halves the step.
    keep_float: shell patterns of module names that stay floating point, e.g. first and last layers.
    unsigned: names of layers whose input is never negative and needs no sign bit; calibration finds them.
    """

    image_encoder: bool = True
    mask_decoder: bool = True
    weights: str = PER_CHANNEL
    weight_bits: int = 8
    attention_products: bool = True
    signed: bool = False
    keep_float: tuple[str, ...] = ()
    unsigned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("keep_float", "unsigned"):  # YAML and checkpoints have lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.weights not in (PER_TENSOR, PER_CHANNEL):
            raise ValueError(f"quantization.weights is {self.weights!r}: choose {PER_TENSOR} or {PER_CHANNEL}")
        if self.signed and self.unsigned:
            raise ValueError(f"quantization.signed leaves no layer unsigned, but {self.unsigned[0]} is to be")
        if self.weight_bits not in WEIGHT_BITS:
            raise ValueError(f"quantization.weight_bits is {self.weight_bits!r}: choose 3, 4, 5, 6, 7 or 8")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """The recipe in a configuration or a checkpoint. Raises ValueError for a key or a value that is none of it."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"quantization has no option {', '.join(sorted(unknown))}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and checkpoints."""
        return {**asdict(self), "keep_float": list(self.keep_float), "unsigned": list(self.unsigned)}
