"""Models that load before numpy is there: as configured, and the same as those that load after."""

import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

from inference.model import early_load
from inference.model.early_load import EarlyLoads
from inference.model.engine import core_with
from inference.model.metadata import pair_metadata
from inference.model.pair import Block, ModelPair
from inference.model.variant import decoder_variant, encoder_variant
from inference.options import AUTO, F32
from tests.system.conftest import ROOT

IMAGE = np.random.default_rng(0).random((1, 3, 256, 256), np.float32)
BOX = np.array([[30, 40, 200, 220]], np.float32)
ENCODER, DECODER = encoder_variant(1), decoder_variant(1, follow=False, block_size=1, threads=2)

WITHOUT_NUMPY = """
import sys
from pathlib import Path
from inference.model.early_load import EarlyLoads
from inference.model.metadata import pair_metadata
from inference.model.variant import encoder_variant
weights, cache = map(Path, sys.argv[1:])
with EarlyLoads(weights, pair_metadata(weights), "f32", 1, cache) as early:
    early.load(encoder_variant(1))
    assert early.result(encoder_variant(1)), "not loaded"
assert not {"numpy", "openvino"} & set(sys.modules)
import inference.model.openvino_runtime, openvino
print(openvino.Tensor(openvino.Type.f32, [3]).data.shape)
"""


@pytest.fixture(scope="module")
def weights(untrained):
    return untrained("light")[1]


@pytest.fixture(scope="module")
def cache(weights, tmp_path_factory):
    """What is compiled, in either precision."""
    folder = tmp_path_factory.mktemp("cache")
    for precision in (F32, AUTO):
        with closing(ModelPair(weights, precision, cache=folder)) as model:
            model.prepare(1)
            said(model)
    return folder


def said(model):
    """Logits of a box on an image."""
    (scored,) = model.decode([Block(model.encode(IMAGE), BOX)])
    return scored.logits.copy()


def loads(weights, cache, precision=F32, threads=0):
    return EarlyLoads(weights, pair_metadata(weights), precision, threads, cache)


def test_neither_numpy_nor_the_package_around_the_engine_is_needed(weights, cache):
    line = [sys.executable, "-c", WITHOUT_NUMPY, str(weights), str(cache)]
    told = subprocess.run(line, cwd=ROOT, text=True, capture_output=True, check=False)
    assert (told.stdout, told.stderr) == ("(3,)\n", "")


@pytest.mark.parametrize("precision", [F32, AUTO])
def test_masks_are_the_same_and_nothing_is_loaded_twice(weights, cache, precision, monkeypatch):
    with closing(ModelPair(weights, precision, cache=cache)) as model:
        expected = said(model)
    monkeypatch.setattr("inference.model.pair.load_compiled", lambda *_: pytest.fail("loaded once more"))
    with loads(weights, cache, precision) as early:
        for variant in (ENCODER, DECODER):
            early.load(variant)
        with closing(ModelPair(weights, precision, cache=cache, early=early)) as model:
            model.prepare(1)
            np.testing.assert_array_equal(said(model), expected)


@pytest.mark.parametrize(("threads", "streams"), [(1, 1), (2, 2)])
def test_settings_are_those_asked_for(weights, cache, threads, streams):
    variant = encoder_variant(streams)
    with closing(ModelPair(weights, F32, cache=cache)) as model:
        model.prepare(streams)
        model.encode(IMAGE)
    with loads(weights, cache, threads=threads) as early:
        early.load(variant)
        loaded = early.result(variant)
    settings = [loaded.get_property(name) for name in ("NUM_STREAMS", "INFERENCE_NUM_THREADS")]
    assert loaded.get_property("PERFORMANCE_HINT") == "LATENCY"
    assert [*settings, loaded.get_property("INFERENCE_PRECISION_HINT").get_type_name()] == [streams, threads, F32]


def test_an_engine_that_would_run_it_otherwise_loads_nothing(weights, cache, monkeypatch):
    monkeypatch.setattr(early_load, "core_with", lambda settings: core_with({**settings, "NUM_STREAMS": 2}))
    monkeypatch.setattr(early_load, "_load", lambda *_: pytest.fail("loaded"))
    with loads(weights, cache) as early:
        early.load(ENCODER)
        assert early.result(ENCODER) is None


def test_a_large_model_is_loaded_as_ever(weights, cache, monkeypatch):
    monkeypatch.setattr(early_load, "MOST_BYTES", 1000)
    with loads(weights, cache) as early:
        early.load(ENCODER)
        assert early.result(ENCODER) is None


def test_what_is_not_compiled_or_not_asked_for_is_loaded_as_ever(weights, tmp_path):
    with loads(weights, tmp_path) as early:
        early.load(ENCODER)
        assert early.result(DECODER) is None
        with closing(ModelPair(weights, F32, cache=tmp_path, early=early)) as model:
            assert said(model).shape == (1, 256, 256)
    assert len(list(tmp_path.glob("*.blob"))) == 2


@pytest.mark.parametrize("error", [OSError("no memory"), AttributeError("no such call"), RuntimeError("no plug-in")])
def test_where_the_engine_cannot_begin_early_models_are_loaded_as_ever(weights, cache, monkeypatch, error, caplog):
    def refused(settings):
        raise error

    monkeypatch.setattr(early_load, "core_with", refused)
    caplog.set_level("DEBUG", "qmedsam")
    with loads(weights, cache) as early:
        early.load(ENCODER)
        with closing(ModelPair(weights, F32, cache=cache, early=early)) as model:
            assert said(model).shape == (1, 256, 256)
    assert f"encoder.onnx: not loaded early ({error})" in caplog.messages


def test_leaving_waits_for_what_is_being_loaded(weights, cache):
    with loads(weights, cache) as early:
        early.load(ENCODER)
    assert not any(thread.is_alive() for thread in early._loading.values())
