"""The parts of OpenVINO that a runtime needs.

`import openvino` would also import its model conversion tools, and with them telemetry: a third of its import time, for
nothing. They are hidden while it is imported, and only then.
"""

import sys

import numpy as np

CONVERSION_TOOLS = "openvino.tools.ovc"

if CONVERSION_TOOLS not in sys.modules:
    sys.modules[CONVERSION_TOOLS] = None  # type: ignore[assignment]

from openvino import CompiledModel, ConstOutput, Core, InferRequest, Tensor, get_version  # noqa: E402

if sys.modules[CONVERSION_TOOLS] is None:
    del sys.modules[CONVERSION_TOOLS]

# At the first array that OpenVINO meets, pybind11 looks up numpy's interface, and holds a lock of C++ while it waits
# for the interpreter's. Two threads that meet their first arrays at once would wait for each other for ever: it is
# done here, while this module is imported, which one thread does alone.
Tensor(np.zeros(1, np.float32)).data  # noqa: B018

__all__ = ["CompiledModel", "ConstOutput", "Core", "InferRequest", "Tensor", "get_version"]
