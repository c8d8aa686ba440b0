"""The decoder of volumes of the light model: follows objects from slice to slice.

It is a mask decoder of its own. It begins as that of the images, which stays as good as it is whatever this one learns.
"""

import copy
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from training.model.light_decoder import BoxPromptEncoder, LightMaskDecoder
from training.model.slice_memory import STRIDE, SliceMemory, SliceState

MEMORY_LEVEL = 2  # the embedding at the memory's stride


class Followed(NamedTuple):
    """What comes of N objects on one slice each.

    low_res_logits: (N, S, S). presence: (N,) logit that the object is on the slice. state: for the slice after.
    """

    low_res_logits: Tensor
    presence: Tensor
    state: SliceState


class VolumeDecoder(nn.Module):
    """Prompt encoder and mask decoder, copied from those of the images, and what is remembered of other slices."""

    def __init__(self, prompt_encoder: BoxPromptEncoder, mask_decoder: LightMaskDecoder) -> None:
        super().__init__()
        self.prompt_encoder = copy.deepcopy(prompt_encoder)
        self.mask_decoder = copy.deepcopy(mask_decoder)
        self.slice_memory = SliceMemory(mask_decoder.widths[:-1])

    def empty_state(self, count: int, like: Tensor) -> SliceState:
        """The state of `count` objects on their start slices; dtype and device of `like`."""
        return self.slice_memory.empty_state(count, self.prompt_encoder.input_size, like)

    def forward(
        self,
        embeddings: tuple[Tensor, ...],
        boxes: Tensor,
        place: Tensor,
        neighbours: Tensor,
        state: SliceState,
        image_index: Tensor | None = None,
    ) -> Followed:
        """Masks of objects on one slice each.

        Args:
            embeddings, boxes, image_index: as `LightModel.decode` takes them.
            place: (N, 3), see `training.model.slice_memory.place_features`.
            neighbours: (N, 2, S/4, S/4), see `inference.segment.neighbours`.
            state: that the slice before left; `empty_state` on the start slice.
        """
        keys = self.slice_memory.keys(embeddings[MEMORY_LEVEL])
        if image_index is not None:
            keys = keys[image_index]
        context = self.slice_memory.context(keys, state, place, neighbours)
        decoded = self.mask_decoder(embeddings, self.prompt_encoder(boxes), boxes, image_index, context)
        # Without gradient: a slice is to use the mask that it is given, not to be given one that suits it.
        mask = shrunk(decoded.low_res_logits.detach().sigmoid()).to(keys.dtype)
        presence = self.slice_memory.is_present(decoded.features, mask, decoded.condition)
        return Followed(decoded.low_res_logits, presence, self.slice_memory.next_state(mask, keys, state))


def remember(masks: Tensor, state: SliceState) -> SliceState:
    """`state` with these masks (N, S, S) in place of those that were decoded; the reference stays that of these."""
    return state._replace(mask=2 * shrunk(masks).to(state.mask) - 1)


def shrunk(masks: Tensor) -> Tensor:
    """Masks (N, S, S) at the memory's size: (N, 1, S/4, S/4)."""
    return F.avg_pool2d(masks[:, None], STRIDE)
