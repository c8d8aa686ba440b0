"""Tracing a model, quantized in whole, in part or not at all, to a QCDQ graph with integer weights.

QCDQ: a quantized tensor is QuantizeLinear, Clip (where the integers do not use the whole range), DequantizeLinear.
"""

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from brevitas.export import export_onnx_qcdq
from onnx import numpy_helper
from torch import Tensor, nn

OPSET = 18


def trace_onnx(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    input_names: list[str],
    output_names: list[str],
    dynamic_shapes: Any = None,
) -> onnx.ModelProto:
    """The ONNX graph of a module, in eval mode. dynamic_shapes: as torch.export takes them; None for fixed shapes."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it reports that torchvision is absent
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the exporter
        path = str(Path(folder) / "graph.onnx")
        export_onnx_qcdq(
            module.eval(),
            args=inputs,
            export_path=path,
            input_names=input_names,
            output_names=output_names,
            dynamic_shapes=dynamic_shapes,
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            external_data=False,
            keep_initializers_as_inputs=False,
            verbose=False,
        )
        return with_integer_weights(onnx.load(path))


def with_integer_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute QuantizeLinear and Clip of weights, in place, so that the file holds int8 and nothing is left to fold."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type in FOLDED and all(name in constants for name in node.input):
            values = FOLDED[node.op_type](node, *(numpy_helper.to_array(constants[name]) for name in node.input))
            constants[node.output[0]] = numpy_helper.from_array(values, node.output[0])
        else:
            kept.append(node)
    used = {name for node in kept for name in node.input}
    replace(graph.node, kept)
    replace(graph.initializer, [tensor for name, tensor in constants.items() if name in used])
    return model


def quantize_linear(node: onnx.NodeProto, x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    if scale.ndim:
        shape = [-1 if i == axis else 1 for i in range(x.ndim)]
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    limits = np.iinfo(zero_point.dtype)
    integers = np.rint(x / scale) + zero_point.astype(np.float32)
    return np.clip(integers, limits.min, limits.max).astype(limits.dtype)


def clip(node: onnx.NodeProto, x: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.clip(x, low, high)


FOLDED = {"QuantizeLinear": quantize_linear, "Clip": clip}


def replace(repeated: Any, values: list) -> None:
    del repeated[:]
    repeated.extend(values)
