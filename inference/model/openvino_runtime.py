"""The parts of OpenVINO that a runtime needs.

`import openvino` would also import what builds and converts models: its model conversion tools, and telemetry with
them, its frontends, and a module of functions for each of its sets of operations. That takes most of its time, for
nothing. It is left out here; who asks for it later in the same process gets it.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

LEFT_OUT = (*(f"opset{number}" for number in range(1, 18)), "experimental", "frontend", "helpers", "preprocess")
CONVERSION = "openvino.tools.ovc"  # `import openvino` does without where it is not there


def import_in_part() -> None:
    """Import OpenVINO without what is left out, unless it is there already."""
    if "openvino" in sys.modules:
        return
    hidden = [f"openvino.{name}" for name in LEFT_OUT]
    sys.modules.update({name: ModuleType(name) for name in hidden})
    sys.modules[CONVERSION] = None  # type: ignore[assignment]
    import openvino

    for name in (*hidden, CONVERSION):
        del sys.modules[name]
    for name in LEFT_OUT:
        delattr(openvino, name)
    openvino.__getattr__ = _part
    openvino._pyopenvino = sys.modules["openvino._pyopenvino"]  # maybe there before (see `engine`)


def _part(name: str) -> Any:
    """What `openvino.name` is, where it was left out."""
    if name == "convert_model":
        return import_module(CONVERSION).convert_model
    if name in LEFT_OUT:
        return import_module(f"openvino.{name}")
    raise AttributeError(f"module 'openvino' has no attribute '{name}'")


import_in_part()

from openvino import (  # noqa: E402
    CompiledModel,
    ConstOutput,
    Core,
    InferRequest,
    Model,
    Node,
    Tensor,
    Type,
)

# At the first array that OpenVINO meets, pybind11 looks up numpy's interface, and holds a lock of C++ while it waits
# for the interpreter's. Two threads that meet their first arrays at once would wait for each other for ever: it is
# done here, while this module is imported, which one thread does alone.
Tensor(np.zeros(1, np.float32)).data  # noqa: B018

__all__ = ["CompiledModel", "ConstOutput", "Core", "InferRequest", "Model", "Node", "Tensor", "Type"]
