"""The light model: a convolutional image encoder and a small box-conditioned mask decoder, trainable on a CPU."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from inference.model.metadata import PIXEL_EDGES
from training.model.light_decoder import BoxPromptEncoder, LightMaskDecoder
from training.model.light_encoder import LightImageEncoder
from training.model.slice_memory import STRIDE, SliceMemory, SliceState

MEMORY_LEVEL = 2  # the embedding at the memory's stride


class Followed(NamedTuple):
    """What `LightModel.follow` makes of N objects on one slice each.

    low_res_logits: (N, S, S). presence: (N,) logit that the object is on the slice. state: for the slice after.
    """

    low_res_logits: Tensor
    presence: Tensor
    state: SliceState


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
        self.slice_memory: SliceMemory | None = None  # see `learn_to_follow`

    @property
    def state(self) -> tuple[str, ...]:
        """Names of what `follow` hands from slice to slice; none where the model cannot follow an object."""
        return () if self.slice_memory is None else SliceState._fields

    @property
    def shared_state(self) -> tuple[str, ...]:
        """Those of them that all objects of a slice share."""
        return () if self.slice_memory is None else ("keys",)

    def learn_to_follow(self) -> None:
        """Give the model what it needs to follow objects through volumes, untrained, unless it has it."""
        if self.slice_memory is None:
            self.slice_memory = SliceMemory(self.mask_decoder.widths[:-1])

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
        return self.slice_memory.empty_state(count, self.input_size, like)

    def follow(
        self,
        embeddings: tuple[Tensor, ...],
        boxes: Tensor,
        place: Tensor,
        neighbours: Tensor,
        state: SliceState,
        image_index: Tensor | None = None,
    ) -> Followed:
        """Masks of objects that are followed through a volume, on one slice each.

        Args:
            embeddings, boxes, image_index: as for `decode`.
            place: (N, 3), see `training.model.slice_memory.place_features`.
            neighbours: (N, 2, S/4, S/4), see `inference.segment.neighbours`.
            state: that the slice before left; `empty_state` on the start slice.
        """
        return follow(self, embeddings, boxes, place, neighbours, state, image_index)

    def remember(self, masks: Tensor, state: SliceState) -> SliceState:
        """`state` with these masks (N, S, S) in place of those that were decoded; the reference stays that of these."""
        return state._replace(mask=2 * shrunk(masks).to(state.mask) - 1)


def shrunk(masks: Tensor) -> Tensor:
    """Masks (N, S, S) at the memory's size: (N, 1, S/4, S/4)."""
    return F.avg_pool2d(masks[:, None], STRIDE)


def follow(
    model: nn.Module,
    embeddings: tuple[Tensor, ...],
    boxes: Tensor,
    place: Tensor,
    neighbours: Tensor,
    state: SliceState,
    image_index: Tensor | None = None,
) -> Followed:
    """`LightModel.follow` with the parts of any model that has them: that to train, or that arranged for export."""
    keys = model.slice_memory.keys(embeddings[MEMORY_LEVEL])
    if image_index is not None:
        keys = keys[image_index]
    context = model.slice_memory.context(keys, state, place, neighbours)
    decoded = model.mask_decoder(embeddings, model.prompt_encoder(boxes), boxes, image_index, context)
    # Without gradient: a slice is to use the mask that it is given, not to be given one that suits it.
    mask = shrunk(decoded.low_res_logits.detach().sigmoid()).to(keys.dtype)
    presence = model.slice_memory.is_present(decoded.features, mask, decoded.condition)
    return Followed(decoded.low_res_logits, presence, model.slice_memory.next_state(mask, keys, state))
