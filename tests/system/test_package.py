"""The installed package: what the wheel holds, and that its command and its `Predictor` do as the checkout does.

Nothing is downloaded: the wheel is built and installed without its dependencies, and the clean environment sees those
of the one that runs the tests.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest

from inference import __version__
from training.data.phantoms import phantom_case_2d, phantom_volume

ROOT = Path(__file__).resolve().parents[2]
LARGEST_WHEEL = 8 * 10**6
SHIPPED = ["encoder.onnx", "decoder.onnx", "volume_decoder.onnx", "LICENSE.md", "README.md", "DATASETS.md"]
IMAGE = phantom_case_2d((100, 120), n_boxes=2, seed=0)
VOLUME = phantom_volume((6, 64, 64), n_boxes=1, seed=1)
USE = """
import sys, numpy, qmedsam
from qmedsam import CaseError, Predictor, SetupError
assert "inference" not in sys.modules
with numpy.load(sys.argv[1]) as case, Predictor() as predictor:
    numpy.save(sys.argv[2], predictor.segment(case["imgs"], case["boxes"]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that no earlier build gets into it, and none into the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in ("inference", "weights"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "cache"))
    pip("wheel", "--no-build-isolation", "--wheel-dir", out, source)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Folder of the programs of an environment with the package in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    pip("--python", folder / "bin" / "python", "install", wheel)
    return folder / "bin"


def pip(*arguments) -> None:
    """Run pip on what is here."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run([*command, "--no-deps", "--no-index"], check=True, env=os.environ | {"PYTHONPATH": ""})


@pytest.fixture(scope="module")
def run(installed, tmp_path_factory):
    """`run(program, *arguments)`: the output of a program of that environment, started from an empty folder."""
    home = tmp_path_factory.mktemp("home")
    environment = {"PATH": f"{installed}:{os.defpath}", "HOME": str(home)}

    def run(program, *arguments) -> str:
        line = [str(installed / program), *map(str, arguments)]
        return subprocess.run(line, cwd=home, env=environment, check=True, text=True, stdout=subprocess.PIPE).stdout

    return run


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    for name, phantom in (("2DBox_US_1", IMAGE), ("3DBox_CT_2", VOLUME)):
        np.savez(folder / name, imgs=phantom.imgs, boxes=phantom.boxes)
    return folder


def test_the_wheel_holds_code_and_weights_and_what_goes_with_them(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    code = [str("qmedsam" / path.relative_to(ROOT / "inference")) for path in (ROOT / "inference").rglob("*.py")]
    expected = {*code, "qmedsam/py.typed", *(f"qmedsam/weights/{name}" for name in SHIPPED)}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert {"LICENSE", "weights/LICENSE.md"} <= {name.partition("/licenses/")[2] for name in names}
    assert wheel.stat().st_size < LARGEST_WHEEL


def test_the_command_gives_the_masks_of_the_checkout(run, cases, tmp_path):
    run("qmedsam", "cases", cases, tmp_path / "installed")
    command = [sys.executable, "-m", "inference", "-i", cases, "-o", tmp_path / "checkout"]
    subprocess.run([*map(str, command)], cwd=ROOT, check=True)
    for path in sorted(cases.iterdir()):
        ours, theirs = (np.load(tmp_path / where / path.name)["segs"] for where in ("installed", "checkout"))
        assert ours.any()
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("name", ["2DBox_US_1", "3DBox_CT_2"])
def test_the_predictor_gives_those_of_the_command(run, cases, tmp_path, name):
    run("python", "-c", USE, cases / f"{name}.npz", tmp_path / "segs.npy")
    run("qmedsam", "-i", cases, "-o", tmp_path / "out")
    np.testing.assert_array_equal(
        np.load(tmp_path / "segs.npy"), np.load(tmp_path / "out" / f"{name}.npz")["segs"], strict=True
    )


def test_the_page_is_served_once_its_wheel_is_installed_too(installed, tmp_path):
    command, environment = [installed / "qmedsam", "page", "--port", "0"], {"PATH": os.defpath, "HOME": str(tmp_path)}
    refused = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert refused.returncode == 3
    assert re.match(r"ERROR: qmedsam-page is not installed; .*`make web-wheel`.* pip install [^\n]*\n$", refused.stderr)

    pip("--python", installed / "python", "install", page_wheel(tmp_path))
    with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE) as server:
        try:
            url = server.stdout.readline().split()[0]
            with urlopen(url, timeout=60) as answer, urlopen(f"{url}models/encoder.onnx.gz", timeout=60) as model:
                assert (answer.read(), answer.headers["Origin-Agent-Cluster"]) == (b"<p>the page", "?1")
                assert model.read() == b"a model"
        finally:
            server.terminate()


def page_wheel(folder: Path) -> Path:
    """The wheel of a page of a few words, as `make web-wheel` builds it."""
    (folder / "web/dist/models").mkdir(parents=True)
    shutil.copy(ROOT / "web/pyproject.toml", folder / "web")
    (folder / "web/dist/headers.json").write_text(json.dumps({"Origin-Agent-Cluster": "?1"}))
    (folder / "web/dist/index.html").write_text("<p>the page")
    (folder / "web/dist/models/encoder.onnx.gz").write_bytes(b"a model")
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder, folder / "web")
    (built,) = folder.glob("*.whl")
    return built


def test_the_command_and_the_module_are_one_program_by_two_names(run):
    assert run("qmedsam", "--version") == run("python", "-m", "qmedsam", "--version") == f"qmedsam {__version__}\n"
    assert run("qmedsam", "--help").startswith("usage: qmedsam SUB-COMMAND ...")
    assert run("python", "-m", "qmedsam", "cases", "--help").startswith("usage: python -m qmedsam cases [-h]")


def test_nothing_is_written_into_the_installed_package(run, cases, tmp_path):
    weights = Path(run("python", "-c", "import qmedsam.options; print(qmedsam.options.default_weights())").strip())
    run("qmedsam", "cases", cases, tmp_path)
    assert weights.parts[-2:] == ("qmedsam", "weights")
    assert sorted(path.name for path in weights.iterdir()) == sorted(SHIPPED)
