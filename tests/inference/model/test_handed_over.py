"""Embeddings and states go from graph to graph in the type of the arithmetic; on an image as if in float32."""

from contextlib import closing

import numpy as np
import pytest

from inference.model import compiled_cache
from inference.model.metadata import VOLUME_DECODER
from inference.model.pair import Block, ModelPair
from inference.options import BF16, F32
from tests.conftest import WEIGHTS
from tests.support.parity import relative_error
from tests.support.volume_pair import write_volume_pair

IMAGES = np.random.default_rng(0).random((2, 1, 3, 256, 256), np.float32)
BOXES = np.array([[30, 40, 200, 220], [10, 10, 90, 60]], np.float32)


@pytest.fixture(scope="module")
def weights(untrained, tmp_path_factory):
    return write_volume_pair(untrained("light")[1], tmp_path_factory.mktemp("volume_pair"))


def results(weights, cache, precision):
    """An image's embeddings, its boxes' logits; an object's state after its first slice, its logits on the second."""
    with closing(ModelPair(weights, precision, cache=cache)) as model:
        model.prepare(1, block_size=2)
        embeddings = [part.copy() for part in model.encode(IMAGES[0])]
        (scored,) = model.decode([Block(embeddings, BOXES)])
        logits = scored.logits.copy()
        model.prepare(1, follow=True)
        prompts = BOXES[:1], np.zeros((1, 3), np.float32), np.zeros((1, 2, 64, 64), np.float32)
        state = [part.copy() for part in model.follow(embeddings, *prompts, None).state]
        second = model.follow(model.encode(IMAGES[1]), *prompts, state).logits.copy()
    return embeddings, logits, state, second


def as_float32(parts):
    """bf16 is the upper half of float32."""
    return [(part.view(np.uint16).astype(np.uint32) << 16).view(np.float32) for part in parts]


def test_in_bf16_they_take_half_the_memory_and_give_the_same(weights, tmp_path, monkeypatch):
    embeddings, logits, state, second = results(weights, tmp_path / "handed", BF16)
    monkeypatch.setattr(compiled_cache, "with_precision", lambda model, names, precision: model)
    wide_embeddings, wide_logits, wide_state, wide_second = results(weights, tmp_path / "widened", BF16)

    for narrow, wide in ((embeddings, wide_embeddings), (state, wide_state)):
        assert [(part.itemsize, part.shape) for part in narrow] == [(2, part.shape) for part in wide]
        for values, expected in zip(as_float32(narrow), wide, strict=True):
            np.testing.assert_allclose(values, expected, rtol=2**-8)
    np.testing.assert_array_equal(logits, wide_logits)
    np.testing.assert_array_equal(second, wide_second)


def test_what_ships_follows_an_object_nearly_as_with_float32_handed_over(tmp_path, monkeypatch):
    _, logits, state, second = results(WEIGHTS, tmp_path / "handed", BF16)
    monkeypatch.setattr(compiled_cache, "with_precision", lambda model, names, precision: model)
    _, wide_logits, wide_state, wide_second = results(WEIGHTS, tmp_path / "widened", BF16)
    np.testing.assert_array_equal(logits, wide_logits)
    for values, expected in zip(as_float32(state), wide_state, strict=True):
        np.testing.assert_allclose(values, expected, rtol=2**-8, atol=2**-6)
    assert 0 < relative_error(second, wide_second) < 0.05


def test_in_float32_nothing_is_narrowed(weights, tmp_path):
    embeddings, _, state, _ = results(weights, tmp_path, F32)
    assert {part.dtype for part in (*embeddings, *state)} == {np.dtype(np.float32)}


def test_from_the_cache_as_compiled(weights, tmp_path):
    first, second = results(weights, tmp_path, BF16), results(weights, tmp_path, BF16)
    assert list(tmp_path.glob(f"{VOLUME_DECODER.removesuffix('.onnx')}-*.blob"))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(
            np.concatenate([np.ravel(p) for p in one]), np.concatenate([np.ravel(p) for p in other])
        )
