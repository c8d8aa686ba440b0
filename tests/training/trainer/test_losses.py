"""Losses against values worked out by hand."""

from math import exp, log

import pytest
import torch

from training.trainer import losses

CERTAIN = 50.0  # a logit whose probability is 1 in float32


def logits_of(probability: float) -> float:
    return log(probability / (1 - probability))


def test_dice_loss_of_half_probabilities():
    # p = 1/2 on 4 pixels, 2 of them object: 1 - (2 * 1 + 1) / (4 * 1/4 + 2 + 1)
    masks = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    assert losses.dice_loss(torch.zeros(1, 2, 2), masks).item() == pytest.approx(1 - 3 / 4)


def test_dice_loss_is_zero_where_masks_agree_and_averages_over_masks():
    masks = torch.zeros(2, 4, 4)
    masks[:, :2] = 1
    logits = (2 * masks - 1) * CERTAIN
    assert losses.dice_loss(logits, masks).item() == pytest.approx(0, abs=1e-6)
    logits[1] = -logits[1]  # 8 of 16 object, the other 8 predicted: 1 - 1 / (16 + 1)
    assert losses.dice_loss(logits, masks).item() == pytest.approx((1 - 1 / 17) / 2)


def test_focal_loss_by_hand():
    # an object pixel of p = 0.8 and a background pixel of p = 0.1
    logits = torch.tensor([[[logits_of(0.8), logits_of(0.1)]]])
    masks = torch.tensor([[[1.0, 0.0]]])
    expected = (0.25 * 0.2**2 * -log(0.8) + 0.75 * 0.1**2 * -log(0.9)) / 2
    assert losses.focal_loss(logits, masks).item() == pytest.approx(expected, rel=1e-5)


def test_bce_loss_by_hand():
    logits = torch.tensor([[[logits_of(0.8), logits_of(0.1)]]])
    masks = torch.tensor([[[1.0, 0.0]]])
    assert losses.bce_loss(logits, masks).item() == pytest.approx(-(log(0.8) + log(0.9)) / 2, rel=1e-5)


def test_border_weights_are_one_far_away_and_symmetric_across_a_straight_border():
    masks = torch.zeros(1, 32, 32)
    masks[:, :, 16:] = 1
    weights = losses.border_weights(masks)[0]
    assert weights[16, 0] == weights[16, 31] == 1
    assert weights[16, 12] == 1  # four pixels from the first object column: out of reach of a radius of three
    assert weights[16, 15].item() == pytest.approx(1 + losses.BORDER_WEIGHT * 2 * 3 / 7)
    assert torch.allclose(weights, weights.flip(1))


def test_border_bce_weighs_a_mistake_on_the_border_more():
    masks = torch.zeros(1, 32, 32)
    masks[:, :, 16:] = 1
    right = (2 * masks - 1) * 5
    at_border, far_away = right.clone(), right.clone()
    at_border[0, 16, 15] = 5
    far_away[0, 16, 2] = 5
    assert losses.border_bce_loss(at_border, masks) > 5 * losses.border_bce_loss(far_away, masks) / 2
    assert losses.bce_loss(at_border, masks).item() == pytest.approx(losses.bce_loss(far_away, masks).item())


def test_mask_iou_counts_pixels_and_takes_two_empty_masks_for_equal():
    logits = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]], [[-1.0, -1.0], [-1.0, -1.0]]])
    masks = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert losses.mask_iou(logits, masks).tolist() == pytest.approx([1 / 3, 1])


def test_iou_loss_compares_with_the_iou_of_the_thresholded_mask():
    logits = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]]])
    masks = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    assert losses.iou_loss(torch.tensor([0.5]), logits, masks).item() == pytest.approx((0.5 - 1 / 3) ** 2)


def test_distillation_follows_the_teacher_as_far_as_it_is_right():
    student = (torch.ones(2, 4, 2, 2),)
    teacher = (torch.full((2, 4, 2, 2), 3.0),)
    loss = losses.distillation_loss(student, teacher, torch.tensor([1.0, 0.25]))
    assert loss.item() == pytest.approx((1 * 4 + 0.25 * 4) / 2)


def test_distillation_refuses_a_teacher_of_other_shape():
    with pytest.raises(ValueError, match="different shapes"):
        losses.distillation_loss((torch.ones(1, 4, 2, 2),), (torch.ones(1, 8, 2, 2),), torch.ones(1))


def test_logit_distillation_is_zero_at_the_teacher_and_positive_elsewhere():
    teacher = torch.tensor([[[2.0, -1.0]]])
    assert losses.logit_distillation_loss(teacher, teacher).item() == pytest.approx(0, abs=1e-7)
    # student says 1/2: KL divergence of the teacher's two Bernoullis from it, averaged
    p = [1 / (1 + exp(-2)), 1 / (1 + exp(1))]
    expected = sum(q * log(2 * q) + (1 - q) * log(2 * (1 - q)) for q in p) / 2
    assert losses.logit_distillation_loss(torch.zeros(1, 1, 2), teacher).item() == pytest.approx(expected, rel=1e-5)


def test_segmentation_loss_is_the_weighted_sum_of_the_named_losses():
    torch.manual_seed(0)
    logits, masks = torch.randn(3, 8, 8, requires_grad=True), (torch.rand(3, 8, 8) > 0.5).float()
    iou = torch.rand(3)
    total, parts = losses.segmentation_loss({"dice": 2.0, "bce": 1.0, "iou": 0.5}, logits, iou, masks)
    assert set(parts) == {"dice", "bce", "iou"}
    assert total.item() == pytest.approx(2 * parts["dice"].item() + parts["bce"].item() + 0.5 * parts["iou"].item())
    total.backward()
    assert logits.grad.abs().sum() > 0
