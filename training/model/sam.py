"""Box-prompted segmentation as in SAM: encode an image once, decode a mask for each box."""

from torch import Tensor, nn

from inference.model.metadata import INDICES
from training.model.mask_decoder import MaskDecoder
from training.model.prompt_encoder import PromptEncoder
from training.model.tiny_vit import TinyViT
from training.model.vit import ViT


class SAM(nn.Module):
    """Image encoder, prompt encoder and mask decoder under SAM's names, so that its checkpoints load strictly."""

    box_convention = INDICES  # as the LiteMedSAM baseline and its public checkpoints
    state = ()  # it does not follow objects through volumes

    def __init__(
        self,
        name: str,
        image_encoder: nn.Module,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
    ):
        super().__init__()
        self.name = name
        self.input_size = prompt_encoder.input_size
        self.logit_size = 4 * prompt_encoder.grid  # the mask decoder enlarges the image embedding twice by two
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder

    def take_inputs_of(self, size: int) -> None:
        """Take images of S = `size` px a side, with the same weights: TinyViT's windows know no size of the whole. To
        train on small images first (progressive resizing); the runtime's models take the size that they are made for.

        Raises:
            ValueError: the image encoder has embeddings of its positions, or the size is no multiple of its stride.
        """
        stride = self.input_size // self.prompt_encoder.grid
        if size % stride:
            raise ValueError(f"data.input_size={size}: a multiple of {stride} is needed")
        if not isinstance(self.image_encoder, TinyViT):
            raise ValueError(f"data.input_size={size}: the model {self.name} takes {self.input_size} only")
        self.prompt_encoder.grid = size // stride
        self.prompt_encoder.input_size = self.input_size = size
        self.logit_size = 4 * self.prompt_encoder.grid

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """images float32 (B, 3, S, S) in 0..1 -> one image embedding (B, 256, L / 4, L / 4), L = `logit_size`."""
        return (self.image_encoder(images),)

    def decode(
        self, embeddings: tuple[Tensor, ...], boxes: Tensor, image_index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Masks of N boxes on the images behind the embeddings.

        embeddings: from `encode`. boxes: float32 (N, 4), xyxy in input pixels, 0..S. image_index: int64 (N,), the
        image that each box is on; None where there is one image, whose part of the work is then shared by the boxes.
        Returns low-resolution logits (N, L, L), L = `logit_size`, positive inside the object, and predicted IoU (N,).
        """
        (image,) = embeddings
        if image_index is not None:
            image = image[image_index]
        sparse, dense = self.prompt_encoder(boxes)
        return self.mask_decoder(image, self.prompt_encoder.grid_encoding(), sparse, dense)


def lite_medsam() -> SAM:
    """LiteMedSAM: TinyViT at 256 x 256, image embedding 64 x 64."""
    return SAM("litemedsam", TinyViT(), PromptEncoder(input_size=256, grid=64), MaskDecoder())


def narrow_lite_medsam() -> SAM:
    """LiteMedSAM at a quarter of its widths, 4.7 GFLOPs in place of 75: what two CPU cores can train in an hour, to try
    stages and quantization on a transformer. Depths, windows and strides are LiteMedSAM's."""
    encoder = TinyViT(widths=(16, 32, 40, 80), heads=(1, 1, 1, 2), embedding=64)
    decoder = MaskDecoder(width=64, heads=4, mlp_width=512)
    return SAM("litemedsam_narrow", encoder, PromptEncoder(input_size=256, grid=64, width=64), decoder)


def medsam_vit_b() -> SAM:
    """MedSAM: ViT-B at 1024 x 1024, image embedding 64 x 64; the teacher of distillation."""
    return SAM("medsam_vit_b", ViT(), PromptEncoder(input_size=1024, grid=64), MaskDecoder())
