"""A SAM arranged for export: encoder and decoder hand over image embeddings as rows, (1, h * w, C).

Parts that have no form of their own for export stay as they are, and so do the names of all layers that quantization
can choose, but for `qkv` of a window attention, which becomes `q`, `k` and `v`.
"""

from collections.abc import Collection

from torch import Tensor, nn

from training.export.form.layers import rows, to_map
from training.export.form.mask_decoder import ExportedMaskDecoder, has_exported_form
from training.export.form.tiny_vit import ExportedTinyViT
from training.model.sam import SAM
from training.model.tiny_vit import TinyViT


class ExportedSAM(nn.Module):
    state = SAM.state

    def __init__(self, model: SAM, to_quantize: Collection[str] = ()):
        super().__init__()
        self.name = model.name
        encoder, decoder = model.image_encoder, model.mask_decoder
        self.image_encoder = ExportedTinyViT(encoder, model.input_size) if isinstance(encoder, TinyViT) else encoder
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = ExportedMaskDecoder(decoder) if has_exported_form(decoder, to_quantize) else decoder

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """images (B, 3, S, S) in 0..1 -> one image embedding (B, h * w, 256), row by row."""
        image = self.image_encoder(images)
        return (image if isinstance(self.image_encoder, ExportedTinyViT) else rows(image),)

    def decode(self, embeddings: tuple[Tensor, ...], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, 4h, 4w) and predicted IoU (N,) of boxes (N, 4) on one image; see `SAM.decode`."""
        (image,) = embeddings
        sparse, dense = self.prompt_encoder(boxes)
        grid = self.prompt_encoder.grid_encoding()
        if not isinstance(self.mask_decoder, ExportedMaskDecoder):
            image = to_map(image, *grid.shape[-2:])
        return self.mask_decoder(image, grid, sparse, dense)
