"""The loss of clips: what each slice is given of the one before, and losses by hand."""

import math
from typing import NamedTuple

import pytest
import torch

from training.data.batch import Clips
from training.model import build_model
from training.model.light import Followed
from training.trainer.clip_loss import PRESENCE, box_around, clip_loss, intersection, masks_loss
from training.trainer.losses import dice_loss

SIZE = 256
EMBEDDINGS = (torch.zeros(4, 1, 1, 1),)
GIVEN = (40.0, 40.0, 200.0, 200.0)


def square(*box: int) -> torch.Tensor:
    mask = torch.zeros(SIZE, SIZE)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


class State(NamedTuple):
    handed_on: torch.Tensor


class Scripted:
    """A model that decodes what it was told to, and notes what it is given."""

    def __init__(self, masks: list[torch.Tensor], presence: list[float]) -> None:
        self.masks, self.presence = masks, presence
        self.given: list[tuple] = []

    def empty_state(self, count, like):
        return State(torch.zeros(count, SIZE, SIZE))

    def follow(self, embeddings, boxes, place, neighbours, state, image_index):
        t = len(self.given)
        assert neighbours[0, 0, 0, 0] == 0.5
        self.given.append((boxes, place, state.handed_on, image_index))
        logits = 20 * self.masks[t].repeat(len(boxes), 1, 1) - 10
        return Followed(logits, torch.full((len(boxes),), self.presence[t]), state)

    def remember(self, masks, state):
        return State(masks)


def clips(masks: list[torch.Tensor], found: bool = False, told: bool = False, boxed: bool = False) -> Clips:
    """One object, whose slices are images 3, 2, 1 of the batch."""
    length = len(masks)
    ends = -1.0 if found else 5.0
    return Clips(
        frames=torch.arange(3, 3 - length, -1)[None],
        masks=torch.stack(masks)[None],
        boxes=torch.tensor([GIVEN]),
        places=torch.tensor([[[ends, ends, t] for t in range(length)]]),
        neighbours=torch.full((1, 2, 64, 64), 0.5),
        told=torch.full((1, length), told),
        boxed=torch.tensor([boxed]),
    )


TRUTH = [square(80, 90, 120, 150)] * 3
DECODED = [square(100, 20, 180, 120), torch.zeros(SIZE, SIZE), square(0, 0, 2, 2)]


def test_a_slice_is_given_its_place_image_and_what_the_one_before_handed_on():
    model = Scripted(DECODED, [0.0] * 3)
    clip_loss(model, {"dice": 1.0}, EMBEDDINGS, clips(TRUTH))
    boxes, places, handed_on, frames = zip(*model.given, strict=True)
    assert torch.cat(frames).tolist() == [3, 2, 1]
    assert torch.cat(places).tolist() == [[5, 5, 0], [5, 5, 1], [5, 5, 2]]
    assert handed_on[0].abs().max() == 0
    torch.testing.assert_close(handed_on[1][0], (20 * DECODED[0] - 10).sigmoid())
    torch.testing.assert_close(handed_on[2][0], (20 * DECODED[1] - 10).sigmoid())
    assert torch.cat(boxes).tolist() == [list(GIVEN)] * 3
    told = Scripted(DECODED, [0.0] * 3)
    clip_loss(told, {"dice": 1.0}, EMBEDDINGS, clips(TRUTH, told=True))
    assert torch.equal(told.given[1][2][0], TRUTH[0])


def test_boxes_around_the_last_mask_stay_within_the_given_one():
    model = Scripted(DECODED, [0.0] * 3)
    clip_loss(model, {"dice": 1.0}, EMBEDDINGS, clips(TRUTH, boxed=True))
    boxes = torch.cat([given[0] for given in model.given]).tolist()
    # Grown by 12, then cut; where nothing was decoded, the given one prompts again.
    assert boxes == [list(GIVEN), [88, 40, 192, 132], list(GIVEN)]
    told = Scripted(DECODED, [0.0] * 3)
    clip_loss(told, {"dice": 1.0}, EMBEDDINGS, clips(TRUTH, told=True, boxed=True))
    assert told.given[1][0].tolist() == [[80 - 12, 90 - 12, 120 + 12, 150 + 12]]


def test_boxes_of_objects_to_find_follow_the_mask_wherever_it_goes():
    model = Scripted(DECODED, [0.0] * 3)
    clip_loss(model, {"dice": 1.0}, EMBEDDINGS, clips(TRUTH, found=True))
    boxes = torch.cat([given[0] for given in model.given]).tolist()
    assert boxes == [list(GIVEN), [97, 17, 183, 123], [97, 17, 183, 123]]  # grown by 3


def test_the_loss_is_the_mean_over_the_slices_by_hand():
    model = Scripted(DECODED, [2.0, -1.0, 0.5])
    truth = [TRUTH[0], TRUTH[1], torch.zeros(SIZE, SIZE)]
    loss, parts = clip_loss(model, {"dice": 2.0, "iou": 7.0}, EMBEDDINGS, clips(truth))
    logits = [20 * mask[None] - 10 for mask in DECODED]
    dice = [2 * dice_loss(logits[t], truth[t][None]).item() for t in range(2)]
    gone = (4 * 10 + 4e-5 * (SIZE**2 - 4)) / SIZE**2  # cross-entropy of 10 in four pixels, e^-10 in the others
    presence = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(1)), math.log(1 + math.exp(0.5))]
    assert set(parts) == {"clips_of_3", "clips_of_3_presence"}
    assert parts["clips_of_3"].item() == pytest.approx((sum(dice) + gone) / 3, rel=1e-4)
    assert parts["clips_of_3_presence"].item() == pytest.approx(sum(presence) / 3, rel=1e-5)
    assert loss.item() == pytest.approx((sum(dice) + gone + PRESENCE * sum(presence)) / 3, rel=1e-4)


def test_where_an_object_is_gone_predicting_nothing_is_right():
    there, gone = TRUTH[0], torch.zeros(SIZE, SIZE)
    weights, masks = {"dice": 1.0, "border_bce": 1.0}, torch.stack([there, gone, gone])
    right = torch.stack([10 * there - 5, gone - 5, gone - 5])
    worse = right + torch.stack([gone, gone, 6 * there])
    assert masks_loss(weights, worse, masks) > masks_loss(weights, right, masks) + 0.01
    alone = masks_loss(weights, right[:1], masks[:1])
    expected = alone / 3 + torch.tensor(-5.0).exp().log1p() * 2 / 3
    assert masks_loss(weights, right, masks).item() == pytest.approx(expected.item(), rel=1e-4)
    assert masks_loss(weights, right[1:], masks[1:]).item() == pytest.approx(math.log1p(math.exp(-5)), rel=1e-4)


def test_boxes_around_masks_and_within_boxes():
    masks = torch.stack([square(10, 20, 30, 50), torch.zeros(SIZE, SIZE), square(0, 250, 4, 256)]) > 0
    last = torch.tensor([[1.0, 2, 3, 4]] * 3)
    assert box_around(masks, last, 4 / SIZE).tolist() == [[6, 16, 34, 54], [1, 2, 3, 4], [0, 246, 8, 256]]
    boxes = torch.tensor([[0.0, 0, 50, 50], [0, 0, 10, 50], [0, 0, 10.5, 50]])
    given = torch.tensor([[10.0, 20, 90, 40]] * 3)
    # The second only touches the given one, the third lies in it by half a pixel.
    assert intersection(boxes, given).tolist() == [[10, 20, 50, 40], [10, 20, 90, 40], [10, 20, 90, 40]]


def test_the_loss_reaches_what_follows_and_the_encoder():
    model = build_model("light")
    model.learn_to_follow()
    embeddings = model.encode(torch.rand(4, 3, SIZE, SIZE, generator=torch.manual_seed(0)))
    loss, _ = clip_loss(model, {"dice": 1.0, "border_bce": 1.0}, embeddings, clips(TRUTH[:2], boxed=True))
    loss.backward()
    for part in (model.image_encoder, model.mask_decoder.fine, *model.slice_memory.adds, model.slice_memory.presence):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
