"""What slices hand on: comparisons and references against slow versions, places by hand, and nothing at the start."""

import numpy as np
import pytest
import torch

from training.model.slice_memory import (
    KEY_WIDTH,
    LEAST,
    LOCAL,
    MAP_COUNT,
    PLACE_FEATURES,
    RING,
    SliceMemory,
    SliceState,
    comparisons,
    is_known,
    place_features,
    reference_of,
    unit_length,
)
from training.model.untrained import fill_randomly

COUNT, HEIGHT, WIDTH = 3, 22, 20


def random_keys(count: int, seed: int) -> torch.Tensor:
    return unit_length(torch.randn(count, KEY_WIDTH, HEIGHT, WIDTH, generator=torch.manual_seed(seed)))


def random_state(keys: int = COUNT) -> SliceState:
    generator = torch.manual_seed(0)
    mask = 2 * torch.rand(COUNT, 1, HEIGHT, WIDTH, generator=generator) - 1
    mask[1] = 0  # there was no slice before
    reference = torch.randn(COUNT, 2 * KEY_WIDTH, generator=generator)
    return SliceState(mask, random_keys(keys, seed=1), reference)


def windows(array: np.ndarray, side: int):
    """Of each pixel (y, x): the part of `array` (..., h, w) in a square around it."""
    reach = side // 2
    for y, x in np.ndindex(array.shape[-2:]):
        yield y, x, array[..., max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]


def slow_comparisons(keys: np.ndarray, mask: np.ndarray, before: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Of one object that is known: (MAP_COUNT, h, w)."""
    inside = (mask + 1) / 2
    maps = np.zeros((MAP_COUNT, HEIGHT, WIDTH))
    maps[0] = mask
    for (y, x, p), (_, _, k) in zip(windows(inside, LOCAL), windows(before, LOCAL), strict=True):
        here, pixels = keys[:, y, x], LOCAL**2  # beyond the border there are zeros
        maps[1, y, x] = 2 * p.sum() / pixels - 1
        maps[2, y, x] = (here @ (k * p).sum(axis=(1, 2))) / pixels / (p.sum() / pixels + LEAST)
        maps[3, y, x] = (here @ (k * (1 - p)).sum(axis=(1, 2))) / pixels / ((1 - p).sum() / pixels + LEAST)
        maps[5, y, x] = reference[:KEY_WIDTH] @ here
        maps[6, y, x] = reference[KEY_WIDTH:] @ here
    maps[4], maps[7] = maps[2] - maps[3], maps[5] - maps[6]
    return maps


def test_comparisons_are_those_of_a_slow_version():
    keys, state = random_keys(COUNT, seed=2), random_state()
    found = comparisons(keys, state)
    assert found.shape == (COUNT, MAP_COUNT, HEIGHT, WIDTH)
    for i in (0, 2):
        expected = slow_comparisons(*(part[i].double().numpy() for part in (keys, state.mask[:, 0], *state[1:])))
        np.testing.assert_allclose(found[i].numpy(), expected, atol=1e-5)
    assert found[1, :5].abs().max() == 0  # no slice before: nothing of it


def test_shared_keys_are_as_good_as_one_for_each_object():
    keys, state = random_keys(1, seed=2), random_state(keys=1)
    each = state._replace(keys=state.keys.repeat(COUNT, 1, 1, 1))
    torch.testing.assert_close(comparisons(keys, state), comparisons(keys.repeat(COUNT, 1, 1, 1), each))


def test_a_slice_before_is_known_by_its_mask():
    assert is_known(random_state()).tolist() == [True, False, True]


def test_the_reference_is_the_mean_of_the_object_and_of_its_surroundings():
    keys = random_keys(2, seed=3)
    mask = torch.zeros(2, 1, HEIGHT, WIDTH)
    mask[0, 0, 9:12, 15:19] = 1
    mask[0, 0, 9, 15] = 0.25
    found = reference_of(mask, keys)
    ring = np.zeros((HEIGHT, WIDTH))
    for y, x, part in windows(mask[0, 0].numpy(), RING):
        ring[y, x] = (1 - mask[0, 0, y, x]) * (part.max() > 0.5)
    assert 0 < (ring > 0).sum() < ring.size - 12
    for weights, value in ((mask[0, 0].numpy(), found[0, :KEY_WIDTH]), (ring, found[0, KEY_WIDTH:])):
        expected = (keys[0].numpy() * weights).sum(axis=(1, 2)) / (weights.sum() + 1)
        np.testing.assert_allclose(value.numpy(), expected, atol=1e-5)
    assert found[1].abs().max() == 0  # neither an object nor its surroundings


def test_the_reference_stays_that_of_the_start_slice():
    memory, keys, state = SliceMemory(), random_keys(COUNT, seed=4), random_state()
    mask = torch.rand(COUNT, 1, HEIGHT, WIDTH, generator=torch.manual_seed(5))
    after = memory.next_state(mask, keys, state)
    assert torch.equal(after.reference[[0, 2]], state.reference[[0, 2]])
    torch.testing.assert_close(after.reference[1:2], reference_of(mask, keys)[1:2])
    assert torch.equal(after.keys, keys)
    torch.testing.assert_close(after.mask, 2 * mask - 1)


def test_shapes_of_the_empty_state():
    state = SliceMemory().empty_state(5, 256, torch.zeros(1, dtype=torch.bfloat16))
    assert [tuple(part.shape) for part in state] == [(5, 1, 64, 64), (5, KEY_WIDTH, 64, 64), (5, 2 * KEY_WIDTH)]
    assert {part.dtype for part in state} == {torch.bfloat16}
    assert not any(part.any() for part in state)
    assert not is_known(state).any()


@torch.no_grad()
def test_nothing_is_told_before_anything_was_learned():
    memory, state = SliceMemory(), random_state()._replace(mask=torch.rand(COUNT, 1, 16, 16))
    state = state._replace(keys=torch.rand(COUNT, KEY_WIDTH, 16, 16))
    place, neighbours = torch.tensor([[4.0, 4, 0]] * COUNT), torch.rand(COUNT, 2, 16, 16)
    context = memory.context(torch.rand(COUNT, KEY_WIDTH, 16, 16), state, place, neighbours)
    assert [tuple(level.shape) for level in context.maps] == [(3, 128, 4, 4), (3, 96, 8, 8), (3, 48, 16, 16)]
    assert not any(level.any() for level in (*context.maps, context.vector))
    fill_randomly(memory, seed=0)
    context = memory.context(torch.rand(COUNT, KEY_WIDTH, 16, 16), state, place, neighbours)
    assert all(level.any() for level in (*context.maps, context.vector))


def test_places_by_hand():
    place = torch.tensor([[3.0, 1, 1], [0, 0, 0], [60, 99, 7], [-1, -1, 4], [-1, -1, 99]])
    is_first = torch.tensor([False, True, False, True, False])
    off = 39 / 160
    expected = [
        [0.4, 0.16, (1 - 0.16) ** 0.5, 1 / 2, 5 / 64, 1, 1, 0, 0],
        [0, 0, 1, 1, 1 / 64, 1, 0, 0, 0],  # an object of one slice
        [off, off**2, (1 - off**2) ** 0.5, 1 / 61, 1, 1, 1, 0, 0],  # longer than LONGEST
        [0, 0, 0, 0, 0, 0, 0, 1, 4 / 16],
        [0, 0, 0, 0, 0, 0, 1, 1, 1],
    ]
    found = place_features(place, is_first)
    assert found.shape == (5, PLACE_FEATURES)
    for row, values in zip(found.tolist(), expected, strict=True):
        assert row == pytest.approx(values, abs=1e-6)


def test_presence_looks_inside_the_mask():
    memory = SliceMemory()
    fill_randomly(memory, seed=1)
    features, condition = torch.randn(2, 48, 8, 8, generator=torch.manual_seed(0)), torch.zeros(2, 128)
    mask = torch.zeros(2, 1, 8, 8)
    mask[:, :, 2:5, 2:5] = 1
    inside = (features * mask).sum(dim=(2, 3)) / 10
    seen = torch.cat([inside, features.amax(dim=(2, 3)), condition], dim=1)
    expected = memory.presence(memory.presence_hidden(seen).relu())[:, 0]
    torch.testing.assert_close(memory.is_present(features, mask, condition), expected)
