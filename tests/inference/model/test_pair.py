"""The model pair on OpenVINO: which of its files are loaded when, and the volume decoder that some have."""

from contextlib import closing

import numpy as np
import pytest

from inference.cases.case import make_case
from inference.errors import SetupError
from inference.model import pair as pair_module
from inference.model.metadata import DECODER, ENCODER, VOLUME_DECODER
from inference.model.pair import Block, ModelPair
from inference.model.variant import SIDE_BY_SIDE
from inference.options import F32, FIND, FLATTEN, PROPAGATE, Options
from inference.segment.blocks import WORTH_BLOCKS
from inference.segment.segment_case import segment_case
from inference.warm_cache import warm
from tests.support.volume_pair import LASTS, write_volume_pair

MEMORY = 8 * 2**30
VOLUME = np.random.default_rng(0).integers(0, 256, (9, 256, 256), np.uint8)
MARKED = make_case(VOLUME, np.array([[40, 60, 4, 199, 149, 4], [10, 200, 7, 90, 240, 7]]))
IMAGE = make_case(VOLUME[0], np.array([[40, 60, 199, 149]]))
CROWDED = make_case(VOLUME[0], np.array([[i, i, i + 60, i + 40] for i in range(WORTH_BLOCKS)]))
LONG = make_case(VOLUME, np.array([[i, i, 0, i + 60, i + 40, len(VOLUME) - 1] for i in range(WORTH_BLOCKS)]))


@pytest.fixture(scope="module")
def weights(untrained, tmp_path_factory):
    return write_volume_pair(untrained("light")[1], tmp_path_factory.mktemp("volume_pair"))


@pytest.fixture
def loaded(monkeypatch):
    """Names of the files that were loaded."""
    names = []
    load_compiled = pair_module.load_compiled

    def noted(core, onnx, *arguments):
        names.append(onnx.name)
        return load_compiled(core, onnx, *arguments)

    monkeypatch.setattr(pair_module, "load_compiled", noted)
    return names


def segment(weights, case, **choices):
    with closing(ModelPair(weights, F32)) as model:
        return segment_case(case, model, Options(zoom=False, **choices), MEMORY).segs


def test_states_go_through_the_graph_and_objects_end_by_presence(weights):
    segs = segment(weights, MARKED, extent=FIND)
    assert set(np.unique(segs[4])) == {0, 1}
    for label, z in ((1, 4), (2, 7)):
        found = np.flatnonzero((segs == label).any(axis=(1, 2)))
        assert found.tolist() == [*range(z - LASTS + 1, min(z + LASTS, 9))]
        for at in found:  # though the box has grown around each mask, the state still holds the first one
            np.testing.assert_array_equal(segs[at] == label, segs[z] == label)


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    return lambda model: [part.copy() for part in model.encode(rng.random((1, 3, 256, 256), np.float32))]


BOXES = np.array([[10 * i, 5 * i, 90 + 10 * i, 120 + 5 * i] for i in range(11)], np.float32)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_blocks_come_in_their_order_whatever_is_decoded_side_by_side(weights, embeddings, size):
    with closing(ModelPair(weights, F32)) as model:
        model.prepare(1)
        images = [embeddings(model) for _ in range(2)]
        alone = [next(model.decode([Block(image, BOXES[i : i + 1])])).logits[0].copy() for image in images
                 for i in range(len(BOXES))]  # fmt: skip
        model.prepare(1, block_size=size)
        blocks = [Block(image, BOXES[i : i + size]) for image in images for i in range(0, len(BOXES), size)]
        decoded = [scored.logits.copy() for scored in model.decode(blocks)]
    assert [len(logits) for logits in decoded] == [len(each.boxes) for each in blocks]
    np.testing.assert_allclose(np.concatenate(decoded), alone, atol=1e-3)


def test_who_takes_no_more_blocks_leaves_nothing_running(weights, embeddings):
    taken = []

    def blocks(image):
        for i in range(len(BOXES)):
            taken.append(i)
            yield Block(image, BOXES[i : i + 1])

    with closing(ModelPair(weights, F32)) as model:
        model.prepare(1, block_size=2)
        image = embeddings(model)
        decoding = model.decode(blocks(image))
        first = next(decoding).logits.copy()
        assert len(taken) == min(SIDE_BY_SIDE, model.threads) + 2  # one is here, the others are being decoded
        decoding.close()
        again = [scored.logits.copy() for scored in model.decode([Block(image, BOXES[:1])] * len(taken))]
        np.testing.assert_array_equal(again, [first] * len(taken))  # each request is asked again, and is free


def test_a_block_that_is_too_large_is_refused(weights, embeddings):
    with closing(ModelPair(weights, F32)) as model:
        model.prepare(1, block_size=2)
        with pytest.raises(ValueError, match="3 boxes in a block of 2"):
            list(model.decode([Block(embeddings(model), BOXES[:3])]))


def test_what_is_handed_on_is_the_objects_own(weights):
    place, maps = np.array([[0, 3, 0]], np.float32), np.zeros((1, 2, 64, 64), np.float32)
    boxes = np.array([[[40, 60, 200, 150]], [[10, 200, 90, 240]]], np.float32)
    with closing(ModelPair(weights, F32)) as model:
        embeddings = model.encode(np.zeros((1, 3, 256, 256), np.float32))
        states = []
        for box in boxes:
            first = model.follow(embeddings, box, place, maps, None)
            assert first.logits.shape == (1, 256, 256)
            assert first.presence == LASTS - 0.5
            assert [part.tolist() for part in first.state] == [[[1]], box.tolist()]
            states.append(([part.copy() for part in first.state], first.logits.copy()))
        for box, (state, logits) in zip(boxes, states, strict=True):
            second = model.follow(embeddings, box + 9, place, maps, state)
            assert [part.tolist() for part in second.state] == [[[2]], box.tolist()]
            np.testing.assert_array_equal(second.logits, logits)


@pytest.mark.parametrize(
    ("case", "choices", "second"),
    [(IMAGE, {"extent": FIND}, DECODER), (MARKED, {"strategy": FLATTEN}, DECODER), (MARKED, {}, VOLUME_DECODER)],
)
def test_only_what_a_case_needs_is_loaded(weights, loaded, case, choices, second):
    segment(weights, case, **choices)
    assert sorted(loaded) == sorted([ENCODER, second])


def test_cases_without_the_volume_decoder_do_as_before(weights, untrained):
    for case, choices in ((IMAGE, {}), (MARKED, {"strategy": FLATTEN})):
        np.testing.assert_array_equal(
            segment(weights, case, **choices), segment(untrained("light")[1], case, **choices)
        )


def test_all_that_a_case_needs_is_compiled_beforehand(weights):
    warm(weights)
    compiled = sorted((weights / "cache").glob("*.blob"))
    with closing(ModelPair(weights)) as model:
        for case, strategy in ((IMAGE, FLATTEN), (MARKED, PROPAGATE), (CROWDED, FLATTEN), (LONG, FLATTEN)):
            segment_case(case, model, Options(strategy=strategy, zoom=False), MEMORY)
    assert sorted((weights / "cache").glob("*.blob")) == compiled


def test_a_volume_decoder_that_is_missing_or_of_another_pair_is_named(tmp_path, untrained):
    weights = write_volume_pair(untrained("light")[1], tmp_path / "pair")
    segment(weights, MARKED, strategy=FLATTEN)  # compiles the other two
    (weights / VOLUME_DECODER).write_bytes((untrained("light")[1] / DECODER).read_bytes())
    with pytest.raises(SetupError, match="encoder and volume decoder were not exported together"):
        segment(weights, MARKED)
    (weights / VOLUME_DECODER).unlink()
    with pytest.raises(SetupError, match=r"volume_decoder\.onnx: No such file"):
        segment(weights, MARKED)


def test_a_damaged_volume_decoder_is_not_compiled(tmp_path, untrained):
    weights = write_volume_pair(untrained("light")[1], tmp_path / "pair")
    data = bytearray((weights / VOLUME_DECODER).read_bytes())
    data[data.index(np.float32(LASTS - 0.5).tobytes()) + 1] ^= 1
    (weights / VOLUME_DECODER).write_bytes(data)
    with (
        closing(ModelPair(weights, F32, cache=tmp_path / "cache")) as model,
        pytest.raises(SetupError, match="damaged"),
    ):
        segment_case(MARKED, model, Options(zoom=False), MEMORY)
