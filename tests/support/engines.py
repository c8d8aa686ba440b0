"""The engines that an exported pair must agree in, behind one function each: named arrays in, list of arrays out."""

from pathlib import Path

import numpy as np
import onnxruntime
import openvino

Arrays = dict[str, np.ndarray]


def run_onnxruntime(path: Path, inputs: Arrays, optimise: bool = True) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, inputs)


def compile_openvino(path: Path) -> openvino.CompiledModel:
    return openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def run_openvino(path: Path, inputs: Arrays) -> list[np.ndarray]:
    compiled = compile_openvino(path)
    results = compiled(inputs)
    return [results[output] for output in compiled.outputs]
