"""Compiled parts of a model compute what the model computes, whatever the number of boxes."""

import copy

import torch

from tests.support.small_sam import SIZE, small_sam
from training.trainer.compiled import compile_parts


def test_masks_and_gradients_stay_the_same():
    torch.manual_seed(0)
    plain = small_sam().train()
    compiled = copy.deepcopy(plain)
    compile_parts(compiled, "eager")
    images = torch.rand(2, 3, SIZE, SIZE)
    boxes = torch.tensor([[1.0, 2.0, 20.0, 16.0], [4.0, 4.0, 30.0, 30.0], [8.0, 2.0, 16.0, 9.0]])
    for image_index in (torch.tensor([0, 0, 1]), torch.tensor([0, 1]), torch.tensor([1])):
        logits = []
        for model in (plain, compiled):
            model.zero_grad()
            masks, iou = model.decode(model.encode(images), boxes[: len(image_index)], image_index)
            (masks.sigmoid().mean() + iou.mean()).backward()
            logits.append(masks)
        torch.testing.assert_close(logits[1], logits[0])
        for (name, expected), found in zip(plain.named_parameters(), compiled.parameters(), strict=True):
            if expected.grad is not None:
                torch.testing.assert_close(found.grad, expected.grad, msg=lambda text, name=name: f"{name}: {text}")
    assert list(compiled.state_dict()) == list(plain.state_dict())
