"""The parts of OpenVINO that a runtime needs.

`import openvino` would also import its model conversion tools, and with them telemetry: a third of its import time, for
nothing. They are hidden while it is imported, and only then.
"""

import sys

CONVERSION_TOOLS = "openvino.tools.ovc"

if CONVERSION_TOOLS not in sys.modules:
    sys.modules[CONVERSION_TOOLS] = None  # type: ignore[assignment]

from openvino import CompiledModel, ConstOutput, Core, InferRequest, Tensor, get_version  # noqa: E402

if sys.modules[CONVERSION_TOOLS] is None:
    del sys.modules[CONVERSION_TOOLS]

__all__ = ["CompiledModel", "ConstOutput", "Core", "InferRequest", "Tensor", "get_version"]
