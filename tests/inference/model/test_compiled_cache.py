"""Compiled models on disk: used when they fit, harmless when they do not."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from inference.atomic import PREFIX, STALE_SECONDS, SUFFIX
from inference.errors import SetupError
from inference.model import compiled_cache, compiled_file
from inference.model.metadata import ENCODER, PAIR
from inference.model.pair import Block, ModelPair

IMAGE = np.random.default_rng(0).random((1, 3, 256, 256), np.float32)
BOXES = np.array([[30, 40, 200, 220], [10, 10, 90, 60]], np.float32)


@pytest.fixture
def weights(untrained):
    return untrained("light")[1]


@pytest.fixture
def compilations(monkeypatch):
    """Names of the files that had to be compiled."""
    names = []
    read_model = compiled_cache.Core.read_model

    def counted(core, path):
        names.append(path.name)
        return read_model(core, path)

    monkeypatch.setattr(compiled_cache.Core, "read_model", counted)
    return names


def logits(weights, cache, precision="f32", size=2):
    model = ModelPair(weights, precision, cache=cache)
    model.prepare(1, block_size=size)
    (scored,) = model.decode([Block(model.encode(IMAGE), BOXES[:size])])
    return scored.logits.copy()


def test_second_start_compiles_nothing_and_gives_the_same(tmp_path, weights, compilations):
    first = logits(weights, tmp_path)
    assert sorted(compilations) == ["decoder.onnx", "encoder.onnx"]
    second = logits(weights, tmp_path)
    assert len(compilations) == 2
    np.testing.assert_array_equal(first, second)


def test_another_precision_is_another_cache_entry(tmp_path, weights, compilations):
    logits(weights, tmp_path, "f32")
    logits(weights, tmp_path, "bf16")
    assert len(compilations) == 4


def test_another_number_of_boxes_at_once_is_another_cache_entry(tmp_path, weights, compilations):
    logits(weights, tmp_path)
    logits(weights, tmp_path, size=1)
    assert sorted(compilations) == ["decoder.onnx", "decoder.onnx", "encoder.onnx"]


def test_another_cpu_is_another_cache_entry(tmp_path, weights, compilations, monkeypatch):
    first = logits(weights, tmp_path)
    monkeypatch.setattr(compiled_file, "_cpu_flags", lambda: "flags: fewer")
    np.testing.assert_array_equal(logits(weights, tmp_path), first)
    assert len(compilations) == 4


def test_a_cpu_held_to_fewer_instruction_sets_is_another_cache_entry(tmp_path, weights, compilations, monkeypatch):
    logits(weights, tmp_path)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # oneDNN has read it already in this process: only the key changes
    logits(weights, tmp_path)
    assert len(compilations) == 4


@pytest.mark.parametrize("flags", ["flags\t\t: fpu avx2 amx_int8", "Features\t: fp asimd i8mm"])
def test_the_instruction_sets_of_a_cpu_as_x86_and_as_arm_name_them(tmp_path, monkeypatch, flags):
    monkeypatch.setattr(compiled_file, "CPUINFO", tmp_path / "cpuinfo")
    assert compiled_file._cpu_flags() == ""
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nBogoMIPS\t: 50.00\n{flags}\n\nprocessor\t: 1\nflags: none\n")
    assert compiled_file._cpu_flags() == flags


def one_bit_in_the_middle(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * len(data), one_bit_in_the_middle],
)
def test_damaged_cache_is_compiled_again(tmp_path, weights, compilations, damage):
    first = logits(weights, tmp_path)
    for blob in tmp_path.glob("*.blob"):
        blob.write_bytes(damage(blob.read_bytes()))
    np.testing.assert_array_equal(logits(weights, tmp_path), first)
    assert len(compilations) == 4


def test_cache_of_another_openvino_is_another_cache_entry(tmp_path, weights, compilations, monkeypatch):
    first = logits(weights, tmp_path)
    monkeypatch.setattr(compiled_file, "get_version", lambda: "2031.1")
    np.testing.assert_array_equal(logits(weights, tmp_path), first)
    assert len(compilations) == 4


def test_weights_damaged_since_their_export_are_not_compiled(tmp_path, weights):
    for name in PAIR:
        (tmp_path / name).write_bytes((weights / name).read_bytes())
    (tmp_path / ENCODER).write_bytes(one_bit_in_the_middle((weights / ENCODER).read_bytes()))
    with pytest.raises(SetupError, match="damaged"):
        logits(tmp_path, tmp_path / "cache")
    logits(weights, tmp_path / "cache")
    logits(tmp_path, tmp_path / "cache")  # what was compiled from the whole pair is that which the metadata names


def test_unwritable_cache_is_not_used(weights, compilations):
    logits(weights, cache=Path("/proc/self/no-such-folder"))
    assert len(compilations) == 2


def test_without_a_home_there_is_no_cache_of_the_user(monkeypatch):
    def nobody(_):
        raise KeyError("no entry for this user")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert compiled_file.cache_folders(Path("/w")) == [Path("/w/cache")]
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert compiled_file.cache_folders(Path("/w")) == [Path("/w/cache")]
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert compiled_file.cache_folders(Path("/w")) == [Path("/w/cache"), Path("/c/qmedsam")]
    monkeypatch.setattr(compiled_file, "PACKAGED_WEIGHTS", Path("/w"))
    assert compiled_file.cache_folders(Path("/w")) == [Path("/c/qmedsam"), Path("/w/cache")]


def test_what_a_killed_run_left_in_any_of_the_folders_is_removed_even_where_nothing_is_written(tmp_path, weights):
    logits(weights, tmp_path)
    left = tmp_path / f"{PREFIX}0{SUFFIX}"
    left.write_bytes(b"half")
    os.utime(left, (time.time() - STALE_SECONDS - 1,) * 2)
    logits(weights, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".blob"}
