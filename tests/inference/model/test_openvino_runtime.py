"""What is done once, before threads use OpenVINO side by side."""

import subprocess
import sys

from tests.system.conftest import ROOT

NUMPY_GONE = """
import sys
import numpy as np
{first}
from openvino import Tensor
sys.modules["numpy._core.multiarray"] = None  # what pybind11 looks up at the first array
print(Tensor(np.ones(3, np.float32)).data.sum())
"""


def run(first: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", NUMPY_GONE.format(first=first)]
    return subprocess.run(line, cwd=ROOT, text=True, capture_output=True, check=False)


def test_numpy_is_looked_up_before_two_threads_can_do_it_at_once():
    """Two threads that do it at once wait for each other for ever: seen once, under load, when a run began."""
    assert "numpy._core.multiarray" in run("").stderr  # OpenVINO alone looks it up only then
    assert run("import inference.model.openvino_runtime").stdout == "3.0\n"


LEFT_OUT = """
import sys
import inference.model.openvino_runtime
import openvino
assert not {"openvino.opset13", "openvino.frontend", "openvino.tools.ovc"} & set(sys.modules)
from openvino import opset13
assert openvino.opset13 is opset13 and opset13.add
assert openvino.frontend.FrontEndManager
try:
    openvino.nothing
except AttributeError as error:
    print(error)
"""


def test_what_is_left_out_is_there_for_who_asks_for_it():
    line = [sys.executable, "-c", LEFT_OUT]
    told = subprocess.run(line, cwd=ROOT, text=True, capture_output=True, check=True).stdout
    assert told == "module 'openvino' has no attribute 'nothing'\n"
