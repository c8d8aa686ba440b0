"""A SAM arranged for export: encoder and decoder hand over image embeddings as rows, (1, h * w, C)."""

from torch import Tensor, nn

from training.export.form.layers import rows, to_map
from training.export.form.mask_decoder import ExportedMaskDecoder, has_exported_form
from training.export.form.tiny_vit import ExportedTinyViT
from training.model.sam import SAM
from training.model.tiny_vit import TinyViT


class ExportedSAM(nn.Module):
    state = SAM.state

    def __init__(self, model: SAM):
        super().__init__()
        encoder, decoder = model.image_encoder, model.mask_decoder
        is_tiny_vit = isinstance(encoder, TinyViT)
        self.image_encoder = ExportedTinyViT(encoder, model.input_size) if is_tiny_vit else InRows(encoder)
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = ExportedMaskDecoder(decoder) if has_exported_form(decoder) else OnRows(decoder)

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """images (B, 3, S, S) in 0..1 -> one image embedding (B, h * w, 256), row by row."""
        return (self.image_encoder(images),)

    def decode(self, embeddings: tuple[Tensor, ...], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, 4h, 4w) and predicted IoU (N,) of boxes (N, 4) on one image; see `SAM.decode`."""
        sparse, dense = self.prompt_encoder(boxes)
        return self.mask_decoder(embeddings[0], self.prompt_encoder.grid_encoding(), sparse, dense)


class InRows(nn.Module):
    """An image encoder that has no form of its own for export."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        return rows(self.encoder(images))


class OnRows(nn.Module):
    """A mask decoder that has no form of its own for export, because its work on the image is quantized."""

    def __init__(self, decoder: nn.Module):
        super().__init__()
        self.decoder = decoder

    def forward(self, image: Tensor, image_pe: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        return self.decoder(to_map(image, *image_pe.shape[-2:]), image_pe, sparse, dense)
