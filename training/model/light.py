"""The light model: a convolutional image encoder and a small box-conditioned mask decoder, trainable on a CPU."""

from torch import Tensor, nn

from inference.model.metadata import PIXEL_EDGES
from training.model.light_decoder import BoxPromptEncoder, LightMaskDecoder
from training.model.light_encoder import LightImageEncoder
from training.model.slice_memory import SliceState
from training.model.volume_decoder import Followed, VolumeDecoder


class LightModel(nn.Module):
    """Same interface as LiteMedSAM; four embeddings, coarse to fine (strides 16, 8, 4, 2), in place of one."""

    name = "light"
    input_size = logit_size = 256
    box_convention = PIXEL_EDGES

    def __init__(
        self, embedding_widths: tuple[int, int, int, int] = (128, 96, 48, 16), depths: tuple[int, int, int] = (0, 0, 2)
    ) -> None:
        super().__init__()
        strides = (16, 8, 4, 2)
        self.image_encoder = LightImageEncoder(embedding_widths=embedding_widths[::-1])
        self.prompt_encoder = BoxPromptEncoder(embedding_widths, strides, self.input_size)
        self.mask_decoder = LightMaskDecoder(embedding_widths, strides, depths)
        self.volume_decoder: VolumeDecoder | None = None  # see `learn_to_follow`

    @property
    def state(self) -> tuple[str, ...]:
        """Names of what `follow` hands from slice to slice; none where the model cannot follow an object."""
        return () if self.volume_decoder is None else SliceState._fields

    def learn_to_follow(self) -> None:
        """Give the model what it needs to follow objects through volumes, untrained, unless it has it."""
        if self.volume_decoder is None:
            self.volume_decoder = VolumeDecoder(self.prompt_encoder, self.mask_decoder)

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """images float32 (B, 3, 256, 256) in 0..1 -> (B, 128, 16, 16), (B, 96, 32, 32), (B, 48, 64, 64),
        (B, 16, 128, 128)."""
        return self.image_encoder(images)

    def decode(
        self, embeddings: tuple[Tensor, ...], boxes: Tensor, image_index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Masks of boxes float32 (N, 4) xyxy in input pixels -> low_res_logits (N, 256, 256), iou (N,)."""
        decoded = self.mask_decoder(embeddings, self.prompt_encoder(boxes), boxes, image_index)
        return decoded.low_res_logits, decoded.iou

    def empty_state(self, count: int, like: Tensor) -> SliceState:
        """What `follow` takes for `count` objects on their start slices; dtype and device of `like`."""
        return self.volume_decoder.empty_state(count, like)

    def follow(
        self,
        embeddings: tuple[Tensor, ...],
        boxes: Tensor,
        place: Tensor,
        neighbours: Tensor,
        state: SliceState,
        image_index: Tensor | None = None,
    ) -> Followed:
        """Masks of objects that are followed through a volume, on one slice each; see `VolumeDecoder.forward`."""
        return self.volume_decoder(embeddings, boxes, place, neighbours, state, image_index)
