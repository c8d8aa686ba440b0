"""The light model: budgets, geometry of the box prompts, batched against single decoding, export."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from training.model import build_model
from training.model.box_geometry import axis_distances, box_coverages, pooling_weights, sides, split_coordinates
from training.model.untrained import fill_randomly

BOXES = torch.tensor([[20.0, 30.0, 120.0, 200.0], [100.5, 90.25, 140.0, 110.0], [0.0, 0.0, 256.0, 256.0]])


@pytest.fixture(scope="module")
def model():
    model = build_model("light").eval()
    fill_randomly(model, seed=0)
    return model


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.random.default_rng(0).random((2, 3, 256, 256), dtype=np.float32))


def gflops(function, *arguments) -> float:
    """GFLOPs of a call; a multiplication and an addition count as two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*arguments)
    return counter.get_total_flops() / 1e9


@torch.no_grad()
def test_cost_is_within_the_budget(model, images):
    assert gflops(model.encode, images[:1]) <= 5.0
    embeddings = model.encode(images[:1])
    one = gflops(model.decode, embeddings, BOXES[:1])
    three = gflops(model.decode, embeddings, BOXES)
    assert one <= 0.8
    assert (three - one) / 2 <= 0.8


def test_half_precision_weights_fit_in_15_megabytes(model):
    assert sum(value.numel() for value in model.state_dict().values()) * 2 < 15e6


@torch.no_grad()
def test_shapes_and_range(model, images):
    embeddings = model.encode(images)
    assert [tuple(e.shape) for e in embeddings] == [
        (2, 128, 16, 16),
        (2, 96, 32, 32),
        (2, 48, 64, 64),
        (2, 16, 128, 128),
    ]
    logits, iou = model.decode(embeddings, BOXES, torch.tensor([0, 1, 1]))
    assert logits.shape == (3, 256, 256)
    assert iou.shape == (3,)
    assert ((iou >= 0) & (iou <= 1)).all()


@torch.no_grad()
def test_boxes_of_several_images_decode_as_each_on_its_own(model, images):
    logits, iou = model.decode(model.encode(images), BOXES, torch.tensor([1, 0, 1]))
    for box, image, expected, expected_iou in zip(BOXES, (1, 0, 1), logits, iou, strict=True):
        alone, alone_iou = model.decode(model.encode(images[image : image + 1]), box[None])
        torch.testing.assert_close(alone[0], expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(alone_iou[0], expected_iou, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_mask_depends_on_the_box_and_on_the_image(model, images):
    logits, _ = model.decode(model.encode(images), BOXES[[0, 1, 0]], torch.tensor([0, 0, 1]))
    assert (logits[0] - logits[1]).abs().mean() > 1e-3
    assert (logits[0] - logits[2]).abs().mean() > 1e-3


def corners(*box: float) -> tuple[torch.Tensor, torch.Tensor]:
    return split_coordinates(torch.tensor([box]))


def test_axis_distances_are_positive_inside_and_clipped():
    # box 8..24 in x on an axis of 8 pixels of stride 4, centres 2, 6, 10, ..., 30; box 8.5..8.5 in y
    coarse, fine = axis_distances(*corners(8.0, 8.5, 24.0, 8.5), 32, (8, 4))
    assert [tuple(distances.shape) for distances in (coarse, fine)] == [(1, 2, 4, 4), (1, 2, 4, 8)]
    assert coarse[0, 0, 3].tolist() == pytest.approx([(24 - c) / 64 for c in range(4, 32, 8)])
    x, y = fine[0]
    assert x[0].tolist() == pytest.approx([(c - 8) / 16 if c - 8 < 16 else 1.0 for c in range(2, 32, 4)])
    assert x[1, 0].item() == 1.0  # 22 of 16 to the far side, clipped
    assert x[3].tolist() == pytest.approx([(24 - c) / 32 for c in range(2, 32, 4)])
    assert y[2, 1].item() == pytest.approx((6 - 8.5) / 32)
    assert y.isfinite().all()  # though the box has no height


def test_coverage_counts_parts_of_pixels():
    coarse, fine = box_coverages(*corners(3.0, 0.0, 9.0, 4.0), 16, (8, 4), (1.0,))
    assert coarse[0, 0].tolist() == [[0.3125, 0.0625], [0.0, 0.0]]
    coverage = fine[0, 0]
    assert coverage[0].tolist() == [0.25, 1.0, 0.25, 0.0]
    assert coverage[1:].sum() == 0
    ((_, scaled),) = box_coverages(*corners(4.0, 0.0, 12.0, 4.0), 16, (4,), (1.0, 0.5))[0]  # 6..10 in x, 1..3 in y
    assert scaled.tolist() == [[0.0, 0.25, 0.25, 0.0]] + [[0.0] * 4] * 3
    (coverages,) = box_coverages(*split_coordinates(BOXES), 256, (4,), (1.0,))
    assert coverages.sum(dim=(1, 2, 3)).tolist() == pytest.approx(
        [100 * 170 / 16, 39.5 * 19.75 / 16, 256 * 256 / 16], rel=1e-5
    )


def test_pooling_weights_sum_to_one_and_the_ring_leaves_the_box_out():
    (weights,) = pooling_weights(*split_coordinates(BOXES), 256, (4,))
    sums = weights.sum(dim=2)
    assert sums[:2].flatten().tolist() == pytest.approx([1.0] * 6, rel=1e-5)
    assert sums[2].tolist() == pytest.approx([1.0, 1.0, 0.0])  # nothing of the image lies around a box that fills it
    inside = weights[0].view(3, 64, 64)[:, 10:45, 8:25]
    assert inside[2].abs().max() < 1e-6
    assert inside[0].sum().item() == pytest.approx(1.0, rel=1e-5)


def test_box_geometry_survives_bfloat16():
    # far from the origin bfloat16 has steps of a whole pixel; split coordinates keep a hundredth
    low, high = (part.bfloat16() for part in corners(203.3, 240.7, 211.9, 249.2))
    assert sides(low, high).flatten().tolist() == pytest.approx([8.6, 8.5], abs=0.05)
    (exact,) = axis_distances(*corners(203.3, 240.7, 211.9, 249.2), 256, (4,))
    assert (axis_distances(low, high, 256, (4,))[0] - exact).abs().max() < 0.01
    rounded = split_coordinates(torch.tensor([[203.3, 240.7, 211.9, 249.2]]).bfloat16().float())
    assert (axis_distances(*rounded, 256, (4,))[0] - exact).abs().max() > 0.02


def test_gradient_reaches_every_parameter(images):
    model = build_model("light").train()
    fill_randomly(model, seed=1)
    logits, iou = model.decode(model.encode(images), BOXES, torch.tensor([0, 1, 1]))
    (logits.square().mean() + iou.sum()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
