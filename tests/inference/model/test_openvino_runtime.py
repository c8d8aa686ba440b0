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
