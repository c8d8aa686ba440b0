"""The form in which models are exported: the same numbers from a graph that is cheap to run.

Training wants modules that checkpoints fit and that quantization can name; an inference engine wants few, large
operations and no data moved between them. `for_export` rearranges the one into the other, in the open:

    image encoder (TinyViT)  windows gathered as whole tokens instead of transposed; see `tiny_vit`
    mask decoder             projections of the image moved to the side of the tokens; see `mask_decoder`
    between the two          embeddings as rows, (1, h * w, C), as both work on them
    light model              embeddings and prompts channels last; see `light`
"""

from collections.abc import Collection

from torch import nn

from training.export.form.light import ExportedLight
from training.export.form.sam import ExportedSAM
from training.model.light import LightModel
from training.model.sam import SAM

__all__ = ["for_export"]


def for_export(model: nn.Module, to_quantize: Collection[str] = ()) -> nn.Module:
    """A model with the `encode` and `decode` of a given one, in eval mode, arranged for export.

    to_quantize: names of layers that are quantized once the graph is traced, which keeps them from being rearranged.

    The given model stays as it is; weights that need no rearranging are shared. Embeddings may be shaped otherwise than
    the model's own. Models without such a form are returned as they are.
    """
    if isinstance(model, LightModel):  # its form is that of a quantized model too
        return ExportedLight(model).eval()
    return ExportedSAM(model, to_quantize).eval() if isinstance(model, SAM) else model
