"""One training step beside a teacher of four times the input size, as MedSAM ViT-B is to LiteMedSAM."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from inference.model.metadata import INDICES, PIXEL_EDGES
from tests.support.small_sam import GRID, SIZE, WIDTH, small_sam
from training.data.batch import Batch
from training.model.mask_decoder import MaskDecoder
from training.model.prompt_encoder import PromptEncoder
from training.model.sam import SAM
from training.model.untrained import fill_randomly
from training.model.vit import ViT
from training.trainer.config import DistillationConfig
from training.trainer.losses import mask_iou
from training.trainer.step import TrainStep

RATIO = 4


def large_teacher() -> SAM:
    """A ViT of 256 x 256 input whose embedding and logits are as large as those of the small model of 64 x 64."""
    encoder = ViT(size=RATIO * SIZE, width=32, depth=2, heads=2, window=7, global_blocks=(1,), embedding=WIDTH)
    decoder = MaskDecoder(width=WIDTH, depth=1, heads=4, mlp_width=128)
    teacher = SAM("teacher", encoder, PromptEncoder(RATIO * SIZE, GRID, WIDTH), decoder)
    fill_randomly(teacher, seed=4)
    return teacher.eval().requires_grad_(False)


@pytest.fixture
def batch() -> Batch:
    """Three images; two boxes on the first, none on the second, one on the third."""
    torch.manual_seed(0)
    boxes = torch.tensor([[4.0, 8.0, 40.0, 60.0], [10.0, 10.0, 20.0, 30.0], [0.0, 30.0, 63.0, 63.0]])
    masks = (torch.rand(3, SIZE, SIZE) > 0.5).float()
    pixel_sizes, image_index = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0, 0, 2])
    return Batch(torch.rand(3, 3, SIZE, SIZE), masks, boxes, pixel_sizes, image_index, ["US"] * 3)


@pytest.mark.parametrize(("convention", "moved"), [(INDICES, 0), (PIXEL_EDGES, 1)])
def test_the_teacher_sees_the_batch_at_its_own_size_and_boxes_that_end_where_its_own_do(batch, convention, moved):
    seen = {}

    class Noting(nn.Module):
        name, input_size, box_convention = "noting", RATIO * SIZE, convention

        def encode(self, images):
            seen["images"] = images
            return (images.new_zeros(len(images), WIDTH, GRID, GRID),)

        def decode(self, embeddings, boxes, image_index):
            seen["boxes"], seen["image_index"] = boxes, image_index
            return boxes.new_zeros(len(boxes), SIZE, SIZE), boxes.new_zeros(len(boxes))

    ramp = (torch.arange(SIZE) + 0.5).expand_as(batch.images)  # each pixel holds where its centre is
    step = TrainStep(small_sam(), {"dice": 1.0}, DistillationConfig(embeddings=1.0), Noting())
    step(replace(batch, images=ramp))
    enlarged = ((torch.arange(RATIO * SIZE) + 0.5) / RATIO).expand(3, 3, RATIO * SIZE, -1)
    torch.testing.assert_close(seen["images"][..., RATIO:-RATIO], enlarged[..., RATIO:-RATIO])
    outward = moved * batch.pixel_sizes[:, None] * torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert torch.equal(seen["boxes"], RATIO * (batch.boxes + outward))
    assert torch.equal(seen["image_index"], batch.image_index)


def test_distillation_from_a_teacher_of_four_times_the_input(batch):
    student, teacher = small_sam().train(), large_teacher()
    step = TrainStep(student, {"dice": 1.0}, DistillationConfig(embeddings=2.0, logits=0.5), teacher)
    loss, parts = step(batch)
    assert set(parts) == {"dice", "distil_embeddings", "distil_logits"}
    expected = parts["dice"] + 2.0 * parts["distil_embeddings"] + 0.5 * parts["distil_logits"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)

    loss.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert student.image_encoder.patch_embed.seq[0].c.weight.grad.abs().sum() > 0

    student.eval()
    with torch.no_grad():
        _, parts = step(batch)
        taught = teacher.encode(F.interpolate(batch.images, scale_factor=RATIO, mode="bilinear"))
        logits, _ = teacher.decode(taught, RATIO * batch.boxes, batch.image_index)
        assert logits.shape == (3, SIZE, SIZE)
        ious = mask_iou(logits, batch.masks)
        errors = (student.encode(batch.images)[0] - taught[0]).square().mean(dim=(1, 2, 3))
    weights = torch.stack([ious[:2].mean(), torch.tensor(0.0), ious[2]])  # an image without a box says nothing
    assert 0 < weights.max() < 1
    assert parts["distil_embeddings"].item() == pytest.approx((weights * errors).mean().item(), rel=1e-5)


def test_logits_of_another_size_are_brought_to_the_students(batch):
    teacher = large_teacher()
    decode = teacher.decode

    def decode_twice_as_large(*arguments):
        logits, iou = decode(*arguments)
        return logits.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2), iou

    student, only_logits = small_sam(), DistillationConfig(logits=1.0)
    _, expected = TrainStep(student, {"dice": 1.0}, only_logits, teacher)(batch)
    teacher.decode = decode_twice_as_large
    _, found = TrainStep(student, {"dice": 1.0}, only_logits, teacher)(batch)
    assert found["distil_logits"].item() == pytest.approx(expected["distil_logits"].item(), rel=1e-5)
