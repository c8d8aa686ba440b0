"""The light model follows objects: as `decode` before it has learned to, gradients, and checkpoints."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from training.model import build_model
from training.model.checkpoint import load_model, save_checkpoint
from training.model.light import LightModel
from training.model.slice_memory import SliceState, reference_of
from training.model.untrained import fill_randomly
from training.model.volume_decoder import remember

BOXES = torch.tensor([[20.0, 30.0, 120.0, 200.0], [100.5, 90.25, 140.0, 110.0], [0.0, 0.0, 256.0, 256.0]])
NOBODY = torch.zeros(3, 2, 64, 64)  # no neighbours
PLACES = torch.tensor([[4.0, 4, 0], [7, 1, 3], [-1, -1, 2]])


def following(seed: int = 0) -> LightModel:
    """A model that can follow, all of it filled from a seed."""
    model = build_model("light").eval()
    model.learn_to_follow()
    fill_randomly(model, seed)
    return model.eval()


@pytest.fixture(scope="module")
def slices() -> torch.Tensor:
    return torch.rand(2, 3, 256, 256, generator=torch.manual_seed(0))


def test_a_model_that_was_not_told_to_has_no_state():
    model = build_model("light")
    assert model.state == ()
    model.learn_to_follow()
    assert model.state == ("mask", "keys", "reference")
    decoder = model.volume_decoder
    model.learn_to_follow()
    assert model.volume_decoder is decoder  # not made anew
    sam = build_model("litemedsam")
    assert sam.state == ()


@torch.no_grad()
def test_cost_is_within_the_budget(slices):
    model = following()
    embeddings = model.encode(slices[:1])
    state = model.empty_state(3, embeddings[0])
    with FlopCounterMode(display=False) as counter:
        model.follow(embeddings, BOXES, PLACES, NOBODY, state)
    assert counter.get_total_flops() / 3 <= 1.0e9
    assert sum(parameter.numel() for parameter in model.volume_decoder.slice_memory.parameters()) < 0.1e6


@torch.no_grad()
def test_before_it_has_learned_masks_are_those_of_decode(slices):
    model = build_model("light").eval()
    fill_randomly(model, seed=0)
    model.learn_to_follow()
    embeddings = model.encode(slices[:1])
    expected, _ = model.decode(embeddings, BOXES)
    state = model.empty_state(3, embeddings[0])
    for _ in range(2):  # nor does what a slice left change anything
        followed = model.follow(embeddings, BOXES, PLACES, NOBODY, state)
        torch.testing.assert_close(followed.low_res_logits, expected, rtol=0, atol=0)
        assert followed.presence.shape == (3,)
        state = followed.state
    assert [tuple(part.shape) for part in state] == [(3, 1, 64, 64), (1, 16, 64, 64), (3, 32)]


@torch.no_grad()
def test_once_it_has_learned_the_place_the_neighbours_and_the_slice_before_count(slices):
    model = following()
    first, second = (model.encode(image[None]) for image in slices)
    empty = model.empty_state(3, first[0])
    followed = model.follow(first, BOXES, PLACES, NOBODY, empty)
    elsewhere = model.follow(first, BOXES, PLACES + torch.tensor([0, 3, 0]), NOBODY, empty)
    assert (followed.low_res_logits[0] - elsewhere.low_res_logits[0]).abs().mean() > 1e-4
    among_others = model.follow(first, BOXES, PLACES, NOBODY + 1, empty)
    assert ((followed.low_res_logits - among_others.low_res_logits).abs().mean(dim=(1, 2)) > 1e-4).all()
    after, without = (model.follow(second, BOXES, PLACES, NOBODY, state) for state in (followed.state, empty))
    assert ((after.low_res_logits - without.low_res_logits).abs().mean(dim=(1, 2)) > 1e-4).all()


@torch.no_grad()
def test_objects_of_several_images_are_followed_as_each_on_its_own(slices):
    model = following()
    both, index = model.encode(slices), torch.tensor([1, 0, 1])
    state = model.empty_state(3, both[0])
    for _ in range(2):
        followed = model.follow(both, BOXES, PLACES, NOBODY, state, index)
        for i, image in enumerate(index.tolist()):
            own = SliceState(*(part[i : i + 1] for part in state))
            own_prompts = (part[i : i + 1] for part in (BOXES, PLACES, NOBODY))
            alone = model.follow(model.encode(slices[image : image + 1]), *own_prompts, own)
            torch.testing.assert_close(alone.low_res_logits[0], followed.low_res_logits[i], rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(alone.presence[0], followed.presence[i], rtol=1e-3, atol=1e-3)
        state = followed.state


@torch.no_grad()
def test_what_is_handed_on_is_the_decoded_mask_and_what_it_shows(slices):
    model = following()
    embeddings = model.encode(slices[:1])
    followed = model.follow(embeddings, BOXES, PLACES, NOBODY, model.empty_state(3, embeddings[0]))
    mask = followed.low_res_logits.sigmoid().reshape(3, 64, 4, 64, 4).mean(dim=(2, 4))
    torch.testing.assert_close(followed.state.mask[:, 0], 2 * mask - 1)
    keys = model.volume_decoder.slice_memory.keys(embeddings[2])
    torch.testing.assert_close(followed.state.keys, keys)
    torch.testing.assert_close(followed.state.reference, reference_of(mask[:, None], keys))


def test_masks_are_handed_on_without_gradient_and_appearances_with_one(slices):
    model = following().train()
    embeddings = model.encode(slices[:1])
    state = model.follow(embeddings, BOXES, PLACES, NOBODY, model.empty_state(3, embeddings[0])).state
    assert [part.requires_grad for part in state] == [False, True, True]


def test_true_masks_can_be_remembered_in_place_of_decoded_ones():
    state = SliceState(*(torch.rand(shape) for shape in ((1, 1, 64, 64), (1, 16, 64, 64), (1, 32))))
    masks = torch.zeros(1, 256, 256)
    masks[0, 4:8, 8:14] = 1  # a pixel and a half of the memory
    remembered = remember(masks, state)
    expected = torch.full((64, 64), -1.0)
    expected[1, 2:4] = torch.tensor([1.0, 0.0])
    assert torch.equal(remembered.mask[0, 0], expected)
    assert remembered.keys is state.keys
    assert remembered.reference is state.reference


def test_gradient_reaches_every_parameter_of_the_memory(slices):
    model = following(seed=1).train()
    embeddings = model.encode(slices)
    state, loss = model.empty_state(3, embeddings[0]), 0.0
    for image in range(2):
        index = torch.full((3,), image)
        followed = model.follow(embeddings, BOXES, PLACES, NOBODY, state, index)
        state, loss = followed.state, loss + followed.low_res_logits.square().mean() + followed.presence.sum()
    loss.backward()
    parameters = model.volume_decoder.slice_memory.named_parameters()
    assert [name for name, p in parameters if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_a_checkpoint_says_whether_its_model_can_follow(tmp_path):
    model = following()
    save_checkpoint(tmp_path / "follows.pt", model)
    loaded = load_model(tmp_path / "follows.pt")
    assert loaded.state == model.state
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    save_checkpoint(tmp_path / "still.pt", build_model("light"))
    assert load_model(tmp_path / "still.pt").state == ()
