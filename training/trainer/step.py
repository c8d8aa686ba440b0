"""What one training step computes: masks of a batch and their loss, with a teacher's embeddings and logits beside."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.batch import Batch
from training.data.boxes import in_convention
from training.trainer.clip_loss import clip_loss
from training.trainer.config import DistillationConfig
from training.trainer.losses import distillation_loss, logit_distillation_loss, mask_iou, segmentation_loss


class TrainStep(nn.Module):
    """Batch -> loss. A module, so that DistributedDataParallel can wrap all that a step does."""

    def __init__(
        self,
        model: nn.Module,
        loss_weights: dict[str, float],
        distillation: DistillationConfig,
        teacher: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss_weights = loss_weights
        self.distillation = distillation
        self.teacher = teacher
        parts = (model.image_encoder, model.prompt_encoder, model.mask_decoder)
        self.learns_images = any(parameter.requires_grad for part in parts for parameter in part.parameters())

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its parts by name, detached. A batch without any box, and without clips, has loss 0. Where all
        that images are segmented with is frozen, they are left out."""
        images = batch.images.contiguous(memory_format=torch.channels_last)
        embeddings = self.model.encode(images)
        loss, parts, logits = sum(embedding.sum() for embedding in embeddings) * 0.0, {}, None
        if self.learns_images and len(batch.boxes):
            logits, iou = self.model.decode(embeddings, batch.boxes, batch.image_index)
            loss, parts = segmentation_loss(self.loss_weights, logits, iou, batch.masks)
        for clips in batch.clips:
            followed, followed_parts = clip_loss(self.model, self.loss_weights, embeddings, clips)
            loss, parts = loss + followed, parts | followed_parts
        if self.teacher is not None and logits is not None:
            taught, taught_parts = self._distil(batch, embeddings, logits)
            loss, parts = loss + taught, parts | taught_parts
        return loss, parts

    def _distil(self, batch: Batch, embeddings: tuple[Tensor, ...], logits: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        teacher_embeddings, teacher_logits = teach(self.teacher, batch, self.model.box_convention, logits.shape[-1])
        parts = {}
        if self.distillation.embeddings > 0:
            ious = mean_per_image(mask_iou(teacher_logits, batch.masks), batch.image_index, len(batch.images))
            parts["embeddings"] = distillation_loss(embeddings, teacher_embeddings, ious)
        if self.distillation.logits > 0:
            parts["logits"] = logit_distillation_loss(logits, teacher_logits)
        loss = sum(getattr(self.distillation, name) * part for name, part in parts.items())
        return loss, {f"distil_{name}": part.detach() for name, part in parts.items()}


@torch.no_grad()
def teach(teacher: nn.Module, batch: Batch, convention: str, size: int) -> tuple[tuple[Tensor, ...], Tensor]:
    """The teacher's embeddings and its logits at `size`, (N, size, size).

    A teacher with a larger input (MedSAM ViT-B: 1024) sees the batch enlarged; one that takes other boxes than the
    batch holds, whose convention is given, gets those.
    """
    ratio = teacher.input_size / batch.images.shape[-1]
    images = batch.images
    if ratio != 1:
        size_of_teacher = (teacher.input_size, teacher.input_size)
        images = F.interpolate(images, size_of_teacher, mode="bilinear", align_corners=False)
    embeddings = teacher.encode(images)
    boxes = in_convention(batch.boxes, batch.pixel_sizes, convention, teacher.box_convention)
    logits, _ = teacher.decode(embeddings, boxes * ratio, batch.image_index)
    if logits.shape[-1] != size:
        logits = F.interpolate(logits[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]
    return embeddings, logits


def mean_per_image(values: Tensor, image_index: Tensor, images: int) -> Tensor:
    """Means of `values` (N,) over the boxes of each image: (images,), 0 where an image has none."""
    sums = torch.zeros(images, device=values.device).index_add(0, image_index, values)
    counts = torch.zeros(images, device=values.device).index_add(0, image_index, torch.ones_like(values))
    return sums / counts.clamp(min=1)
