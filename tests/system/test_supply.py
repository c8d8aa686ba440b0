"""What the image is made of: pinned, hashed, and listed."""

import json
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def pins(name: str) -> set[str]:
    return set(re.findall(r"^[\w-]+==\S+", (ROOT / name).read_text(), re.MULTILINE))


def test_the_lock_file_is_the_pins_with_hashes():
    assert pins("requirements.lock") == pins("requirements.txt")
    for line in (ROOT / "requirements.lock").read_text().splitlines()[1:]:
        assert re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line)


@pytest.fixture(scope="module")
def bill():
    script = [sys.executable, "container/sbom.py"]
    return json.loads(subprocess.run(script, cwd=ROOT, capture_output=True, check=True).stdout)


def test_bill_of_materials_names_packages_with_hashes_and_bundled_libraries(bill):
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    numpy = next(part for part in bill["components"] if part["name"] == "numpy")
    assert numpy["purl"] == f"pkg:pypi/numpy@{np.__version__}"
    assert (
        f"numpy=={np.__version__} --hash=sha256:{numpy['hashes'][0]['content']}"
        in (ROOT / "requirements.lock").read_text()
    )
    assert any("openblas" in library["name"] for library in numpy["components"])


def test_bill_of_materials_names_the_models(bill):
    models = {part["name"] for part in bill["components"] if part["type"] == "machine-learning-model"}
    assert {"weights/encoder.onnx", "weights/decoder.onnx"} <= models


def in_the_image(path: str) -> bool:
    """Whether .dockerignore lets a file in: of the lines that match it or a folder around it the last one decides."""
    included = True
    around = [path, *map(str, PurePosixPath(path).parents)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        names = [part for folder in around for part in folder.split("/")] if "**/" in line else around
        if pattern == "*" or any(PurePosixPath(name) == PurePosixPath(pattern) for name in names):
            included = line.startswith("!")
    return included


def test_of_all_weights_the_pair_that_ships_is_in_the_image():
    pair = ["weights/encoder.onnx", "weights/decoder.onnx"]
    assert all(map(in_the_image, [*pair, "predict.sh", "inference/cli.py", "inference/model/pair.py"]))
    others = ["weights/light.pt", "weights/litemedsam/encoder.onnx", "weights/mine/data.bin", "weights/cache/a.blob"]
    elsewhere = ["training/train.py", "tests/conftest.py", "inference/__pycache__/cli.pyc", "demo/a.npz"]
    assert not any(map(in_the_image, others + elsewhere))
