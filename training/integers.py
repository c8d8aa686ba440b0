"""Compares the integers of two int8 pairs: how many weights are the same in both and by how much the others differ, and
how many activations have no sign bit.

With a pair that `training.qat --calibrate-only` writes, as that which ships, whose integers are the weights of its
checkpoint rounded to the nearest, it tells what training has changed in one of the same checkpoint:

  python -m training.integers weights runs/light_qat
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from inference.arrays import Array
from inference.model.metadata import DECODER, ENCODER, VOLUME_DECODER


def compared(first: Path, second: Path) -> str:
    """A line per file that both folders have.

    Raises:
        ValueError: the folders have no file in common, or one cannot be read, or not the same quantized layers.
    """
    names = [name for name in (ENCODER, DECODER, VOLUME_DECODER) if all((f / name).exists() for f in (first, second))]
    if not names:
        raise ValueError(f"{first}, {second}: no {ENCODER} in both")
    return "\n".join(f"{name}: {line_of(first / name, second / name)}" for name in names)


def line_of(first: Path, second: Path) -> str:
    """How the integers of two files differ, in words; zeros in both are left out, which export adds some of."""
    graphs = [read_graph(path) for path in (first, second)]
    ours, theirs = map(integers, graphs)
    shapes = [{name: weight.shape for name, weight in weights.items()} for weights in (ours, theirs)]
    if not ours or shapes[0] != shapes[1]:
        raise ValueError(f"{first}, {second}: no int8 weights, or not of the same layers")
    both = np.concatenate([np.stack([ours[name].ravel(), theirs[name].ravel()]) for name in ours], axis=1).astype(int)
    steps = np.abs(np.subtract(*both[:, both.any(axis=0)]))
    share = f"{(steps == 0).mean():.2%} of {steps.size:,} integers of {len(ours)} layers are equal"
    others = f", the others differ by {steps.max()} at most" if steps.any() else ""
    return f"{share}{others}; activations without a sign bit: {' and '.join(map(unsigned, graphs))}"


def read_graph(path: Path) -> onnx.GraphProto:
    """Raises ValueError, naming the file, where it is none."""
    try:
        return onnx.load(path).graph
    except (OSError, DecodeError) as error:
        raise ValueError(f"{path}: {error}") from error


def integers(graph: onnx.GraphProto) -> dict[str, Array]:
    """The int8 weights of a QCDQ graph by the names of their scales, which are those of the layers."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    weights = {
        node.input[1]: numpy_helper.to_array(constants[node.input[0]])
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants
    }
    return {name: weight for name, weight in weights.items() if weight.dtype == np.int8}


def unsigned(graph: onnx.GraphProto) -> str:
    """How many of the inputs that layers quantize have no sign bit: `35 of 57`."""
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    counts: Counter[int] = Counter()  # by type; layers that quantize the same tensor alike share the operation
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] not in types:
            counts[types[node.input[2]]] += uses[node.output[0]]
    return f"{counts[onnx.TensorProto.UINT8]} of {counts.total()}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.integers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs=2, type=Path, metavar="DIR", help="folder with an int8 pair")
    options = parser.parse_args(arguments)
    try:
        print(compared(*options.pairs))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
