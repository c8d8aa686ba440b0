"""The loss of following objects through clips: each slice is decoded with what the one before left, as at run time."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.segment.prompts import MARGIN_FOUND, MARGIN_GIVEN
from training.data.batch import Clips
from training.data.boxes import tight_boxes
from training.model.volume_decoder import remember
from training.trainer.losses import MASK_LOSSES, bce_loss

PRESENCE = 0.5  # weight of the presence head


def clip_loss(
    model: nn.Module, weights: dict[str, float], embeddings: tuple[Tensor, ...], clips: Clips
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean loss of the slices of clips, and its parts by name, detached.

    The masks that a slice hands on have no gradient (see `VolumeDecoder`), its appearances have.

    Args:
        weights: of the losses of masks, by name (`MASK_LOSSES`).
        embeddings: of all images of the batch.
    """
    count, length = clips.frames.shape
    state, boxes = model.empty_state(count, embeddings[0]), clips.boxes
    is_found = clips.places[:, 0, :1] < 0
    mask_losses, presence_losses = [], []
    for t in range(length):
        place, frames, masks = clips.places[:, t], clips.frames[:, t], clips.masks[:, t]
        followed = model.follow(embeddings, boxes, place, clips.neighbours, state, frames)
        mask_losses.append(masks_loss(weights, followed.low_res_logits, masks))
        present = masks.flatten(1).any(dim=1).float()
        presence_losses.append(F.binary_cross_entropy_with_logits(followed.presence.float(), present))
        with torch.no_grad():
            handed_on = torch.where(clips.told[:, t, None, None], masks, followed.low_res_logits.float().sigmoid())
            found = box_around(handed_on > 0.5, boxes, MARGIN_FOUND)
            within = intersection(box_around(handed_on > 0.5, clips.boxes, MARGIN_GIVEN), clips.boxes)
            boxes = torch.where(is_found, found, torch.where(clips.boxed[:, None], within, clips.boxes))
        state = remember(handed_on, followed.state)
    mask_loss, presence_loss = torch.stack(mask_losses).mean(), torch.stack(presence_losses).mean()
    name = f"clips_of_{length}"
    parts = {name: mask_loss.detach(), f"{name}_presence": presence_loss.detach()}
    return mask_loss + PRESENCE * presence_loss, parts


def masks_loss(weights: dict[str, float], logits: Tensor, masks: Tensor) -> Tensor:
    """Weighted sum of the mask losses; where there is no object any more, cross-entropy alone: no overlap is wanted."""
    is_there = masks.flatten(1).any(dim=1)
    there, gone = torch.nonzero(is_there)[:, 0], torch.nonzero(~is_there)[:, 0]
    loss = logits.sum() * 0.0
    if len(there):
        losses = {name: weight for name, weight in weights.items() if name in MASK_LOSSES}
        parts = [weight * MASK_LOSSES[name](logits[there], masks[there]) for name, weight in losses.items()]
        loss = loss + sum(parts) * (len(there) / len(masks))
    if len(gone):
        loss = loss + bce_loss(logits[gone], masks[gone]) * (len(gone) / len(masks))
    return loss


def box_around(masks: Tensor, last: Tensor, margin: float) -> Tensor:
    """Boxes (N, 4) around masks (N, S, S) bool, grown by a part of their side; the last one where a mask is empty."""
    grown = tight_boxes(masks) + margin * masks.shape[-1] * last.new_tensor([-1, -1, 1, 1])
    return torch.where(masks.flatten(1).any(dim=1, keepdim=True), grown.clamp(0, masks.shape[-1]), last)


def intersection(boxes: Tensor, given: Tensor) -> Tensor:
    """What of `boxes` (N, 4) lies in the given ones; these, where hardly anything does."""
    low, high = torch.maximum(boxes[:, :2], given[:, :2]), torch.minimum(boxes[:, 2:], given[:, 2:])
    return torch.where((high - low >= 1).all(dim=1, keepdim=True), torch.cat([low, high], dim=1), given)
