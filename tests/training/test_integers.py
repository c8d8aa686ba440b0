"""Integers of two pairs: what is counted as equal, and what cannot be compared."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from training.integers import main

WEIGHTS = Path(__file__).parents[2] / "weights"


def test_the_share_of_equal_integers_is_told_for_each_file(tmp_path, capsys):
    for name in ("encoder.onnx", "decoder.onnx"):
        (tmp_path / name).write_bytes((WEIGHTS / name).read_bytes())
    model = onnx.load(tmp_path / "decoder.onnx")
    tensor = max(
        (t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8), key=lambda t: len(t.dims)
    )
    values = numpy_helper.to_array(tensor).copy()
    changed = np.flatnonzero(values > 0)[:2]
    values.flat[changed] -= [1, 3]
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "decoder.onnx")

    assert main([str(WEIGHTS), str(tmp_path)]) == 0
    encoder, decoder = capsys.readouterr().out.splitlines()
    assert encoder.startswith("encoder.onnx: 100.00% of 5,2")
    assert encoder.endswith(" integers of 57 layers are equal; activations without a sign bit: 35 of 57 and 35 of 57")
    assert decoder.startswith("decoder.onnx: 100.00% of 245,")
    assert " integers of 13 layers are equal, the others differ by 3 at most; " in decoder


def test_what_cannot_be_compared_is_one_line(tmp_path, capsys):
    (tmp_path / "encoder.onnx").write_bytes(b"no such thing at all")
    other_model = WEIGHTS / "litemedsam"
    for folder, reason in (
        (tmp_path, f"{tmp_path / 'encoder.onnx'}: "),
        (tmp_path / "none", "no encoder.onnx in both"),
        (other_model, "not of the same layers"),
    ):
        assert main([str(WEIGHTS), str(folder)]) == 2
        message = capsys.readouterr().err
        assert reason in message
        assert message.count("\n") == 1
