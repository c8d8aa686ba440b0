"""Where a model's time goes by operation, as OpenVINO counts it.

  python -m training.benchmark.operations weights/encoder.onnx

prints one line of JSON: [operation, how it was executed, number of nodes, milliseconds] for every kind.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inference.model.engine import engine_config
from inference.model.metadata import read_metadata
from inference.model.openvino_runtime import Core

WARM_RUNS = 5
BOXES = 16  # per run of a decoder
LAYERS = "originalLayersNames"  # of an operation of the compiled model: the operations of the file that it does at once
DEAR = ("softmax", "gelu")  # worth naming where they are fused into other operations


def operations(onnx: Path, precision: str) -> list[tuple[str, str, int, float]]:
    """Kinds of operations of a compiled model, dearest first.

    How it was executed is the primitive and its arithmetic, for instance `brgconv_avx512_amx_I8`.
    """
    core = Core()
    compiled = core.compile_model(onnx, "CPU", {**engine_config(core, precision), "PERF_COUNT": True})
    fused = {node.friendly_name: node.rt_info[LAYERS].astype(str) for node in compiled.get_runtime_model().get_ops()}
    request = compiled.create_infer_request()
    inputs = example_inputs(request.model_inputs, read_metadata(onnx).input_size)
    for _ in range(WARM_RUNS):
        request.infer(inputs)
    kinds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for node in request.profiling_info:
        if node.real_time.total_seconds() > 0:
            kind = with_fused(node.node_type, fused.get(node.node_name, ""))
            kinds[kind, node.exec_type].append(1000 * node.real_time.total_seconds())
    rows = [(*kind, len(times), sum(times)) for kind, times in kinds.items()]
    return sorted(rows, key=lambda row: -row[3])


def with_fused(operation: str, layers: str) -> str:
    """An operation's kind, and what it computes besides if that is dear; layers: names of those it was made of."""
    dear = [name for name in DEAR if name in layers.lower() and name not in operation.lower()]
    return " + ".join([operation, *dear])


def example_inputs(inputs: list, size: int) -> dict[str, np.ndarray]:
    """An image or embeddings of noise; boxes in the middle."""
    rng = np.random.default_rng(0)
    example = {}
    for port in inputs:
        shape = [BOXES if side.is_dynamic else side.get_length() for side in port.partial_shape]
        is_boxes = port.any_name == "boxes"
        middle = np.tile(np.array([0.25, 0.25, 0.7, 0.6], np.float32) * size, (shape[0], 1))
        example[port.any_name] = middle if is_boxes else rng.random(shape, np.float32)
    return example


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.operations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("onnx", type=Path, help="encoder.onnx or decoder.onnx")
    parser.add_argument("--precision", default="auto", help="as the runtime's (default: %(default)s)")
    options = parser.parse_args(arguments)
    print(json.dumps(operations(options.onnx, options.precision)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
