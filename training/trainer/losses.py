"""Losses of masks, of the IoU prediction and of distillation. All are means over masks; logits may be bfloat16."""

import torch
from torch import Tensor
from torch.nn import functional as F

FOCAL_ALPHA = 0.25  # weight of object pixels against background pixels
FOCAL_GAMMA = 2.0  # how fast a pixel that is already right loses weight
BORDER_RADIUS = 3  # pixels at 256 x 256 on either side of the border that count more
BORDER_WEIGHT = 20.0  # how much more a pixel on the border itself counts


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Soft Dice loss, 1 - 2 sum(p g) / (sum(p^2) + sum(g^2)) per mask (V-Net's form; QMedSAM section 3.2, Yu).

    Args:
        logits: (N, H, W).
        masks: (N, H, W) in {0, 1}.

    Returns:
        Scalar in 0..1, the mean over masks.
    """
    probabilities = logits.float().sigmoid().flatten(1)
    masks = masks.flatten(1)
    intersection = (probabilities * masks).sum(dim=1)
    total = probabilities.square().sum(dim=1) + masks.sum(dim=1)
    return (1 - (2 * intersection + 1) / (total + 1)).mean()


def focal_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Focal loss (Lin et al. 2017; QMedSAM section 3.2): cross-entropy times alpha times (1 - p of the truth)^gamma."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits.float(), masks, reduction="none")
    wrong = 1 - torch.exp(-cross_entropy)
    alpha = FOCAL_ALPHA * masks + (1 - FOCAL_ALPHA) * (1 - masks)
    return (alpha * wrong**FOCAL_GAMMA * cross_entropy).mean()


def bce_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy (Yu; QMedSAM's published code), the mean over all pixels."""
    return F.binary_cross_entropy_with_logits(logits.float(), masks)


def border_weights(masks: Tensor) -> Tensor:
    """Weights 1 far from the masks' borders, up to 1 + BORDER_WEIGHT on them: (N, H, W).

    How near a border is, is read off the mean of the mask around the pixel: at a straight border half of the
    surroundings are object.
    """
    mean = masks[:, None]
    for axis in (0, 1):  # the mean over a square, one axis after the other: a quarter of the time
        kernel, padding = [1, 1], [0, 0]
        kernel[axis], padding[axis] = 2 * BORDER_RADIUS + 1, BORDER_RADIUS
        mean = F.avg_pool2d(mean, kernel, stride=1, padding=padding, count_include_pad=False)
    mean = mean[:, 0]
    return 1 + BORDER_WEIGHT * (2 * (mean - masks).abs()).clamp(max=1.0)


def border_bce_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy weighted towards borders; the weighted mean of each mask, then their mean."""
    weights = border_weights(masks)
    cross_entropy = F.binary_cross_entropy_with_logits(logits.float(), masks, reduction="none")
    return ((weights * cross_entropy).sum(dim=(1, 2)) / weights.sum(dim=(1, 2))).mean()


def mask_iou(logits: Tensor, masks: Tensor) -> Tensor:
    """Intersection over union of thresholded logits (> 0) and masks: float32 (N,) in 0..1, without gradient.

    Two empty masks have IoU 1.
    """
    predicted, masks = (logits > 0).flatten(1), (masks > 0.5).flatten(1)
    intersection = (predicted & masks).sum(dim=1).float()
    union = (predicted | masks).sum(dim=1).float()
    return torch.where(union > 0, intersection / union.clamp(min=1), torch.ones_like(union))


def iou_loss(predicted_iou: Tensor, logits: Tensor, masks: Tensor) -> Tensor:
    """Mean squared error of the IoU head against the IoU that the masks have (SAM)."""
    return F.mse_loss(predicted_iou.float(), mask_iou(logits, masks))


def distillation_loss(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], teacher_iou: Tensor) -> Tensor:
    """IoU(teacher mask, ground truth) x MSE(student embedding, teacher embedding), QMedSAM's distillation.

    A teacher is followed only as far as it is right. Where an image has several masks, its IoU is their mean.

    Args:
        student, teacher: image embeddings, each (B, C, h, w) and shaped alike; their errors are averaged.
        teacher_iou: (B,) in 0..1.

    Raises:
        ValueError: the embeddings of the two are not shaped alike.
    """
    if [e.shape for e in student] != [e.shape for e in teacher]:
        raise ValueError("student and teacher have image embeddings of different shapes: this teacher does not fit")
    errors = [(s.float() - t.float()).square().mean(dim=(1, 2, 3)) for s, t in zip(student, teacher, strict=True)]
    return (teacher_iou * torch.stack(errors).mean(dim=0)).mean()


def logit_distillation_loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Binary cross-entropy against the teacher's probabilities, less its least value: 0 where the two agree."""
    target = teacher_logits.float().sigmoid()
    least = F.binary_cross_entropy_with_logits(teacher_logits.float(), target)
    return F.binary_cross_entropy_with_logits(logits.float(), target) - least


MASK_LOSSES = {"dice": dice_loss, "focal": focal_loss, "bce": bce_loss, "border_bce": border_bce_loss}


def segmentation_loss(
    weights: dict[str, float], logits: Tensor, predicted_iou: Tensor, masks: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the losses named in `weights` (keys of MASK_LOSSES, and "iou"), and each of them, detached."""
    parts = {name: loss(logits, masks) for name, loss in MASK_LOSSES.items() if name in weights}
    if "iou" in weights:
        parts["iou"] = iou_loss(predicted_iou, logits, masks)
    total = sum(weights[name] * part for name, part in parts.items())
    return total, {name: part.detach() for name, part in parts.items()}
