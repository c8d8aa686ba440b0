"""The light model: a convolutional image encoder and a small box-conditioned mask decoder, trainable on a CPU."""

from torch import Tensor, nn

from training.model.light_decoder import BoxPromptEncoder, LightMaskDecoder
from training.model.light_encoder import LightImageEncoder


class LightModel(nn.Module):
    """Same interface as LiteMedSAM; four embeddings, coarse to fine (strides 16, 8, 4, 2), in place of one."""

    name = "light"
    input_size = 256

    def __init__(self, widths: tuple[int, int, int, int] = (48, 96, 192, 384), fine_width: int = 16) -> None:
        super().__init__()
        level_widths = (widths[2], widths[1], widths[0], fine_width)
        strides = (16, 8, 4, 2)
        self.image_encoder = LightImageEncoder(widths, fine_width=fine_width)
        self.prompt_encoder = BoxPromptEncoder(level_widths, strides, self.input_size)
        self.mask_decoder = LightMaskDecoder(level_widths, strides)

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """images float32 (B, 3, 256, 256) in 0..1 -> (B, 192, 16, 16), (B, 96, 32, 32), (B, 48, 64, 64),
        (B, 16, 128, 128)."""
        return self.image_encoder(images)

    def decode(
        self, embeddings: tuple[Tensor, ...], boxes: Tensor, image_index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Masks of boxes float32 (N, 4) xyxy in input pixels -> low_res_logits (N, 256, 256), iou (N,)."""
        return self.mask_decoder(embeddings, self.prompt_encoder(boxes), boxes, image_index)
