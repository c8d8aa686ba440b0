"""Whole processes of the runtime on folders of cases."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def command(untrained):
    """`command(*arguments)`: the line that starts the runtime with an untrained pair."""
    trained_by_nobody = untrained("light")[1]

    def command(*arguments, weights=trained_by_nobody):
        return [sys.executable, "-m", "inference", *map(str, arguments), "--weights", str(weights)]

    return command


@pytest.fixture
def run(command):
    """`run(*arguments, **how)`: the finished process, `how` as `subprocess.run` takes it."""

    def run(*arguments, weights=None, **how) -> subprocess.CompletedProcess:
        line = command(*arguments, weights=weights) if weights else command(*arguments)
        return subprocess.run(line, **({"cwd": ROOT, "text": True, "check": False, "capture_output": True} | how))

    return run


@pytest.fixture
def folders(tmp_path):
    """Folder of cases, which is there and empty, and folder of results, which is not."""
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    return inputs, outputs
