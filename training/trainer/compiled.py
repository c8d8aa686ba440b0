"""The parts of a model that take a step's time, compiled: a GPU waits for its memory less where torch.compile has fused
what lies between two products or convolutions."""

from torch import nn

COMPILERS = ("inductor", "eager")  # the second makes no code: what a model computes is traced and run as it stands


def compile_parts(model: nn.Module, compiler: str) -> None:
    """Have image encoder and mask decoder compiled at their first call, in place; names of parameters stay.

    The number of boxes changes from batch to batch: the second one that is seen has the decoder compiled once more, for
    any number.
    """
    for part in (model.image_encoder, model.mask_decoder):
        part.compile(backend=compiler)
