"""What the image is made of: pinned, hashed, and listed; its version and its licences."""

import hashlib
import json
import platform
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from setuptools.config.pyprojecttoml import read_configuration

import inference
from inference.model.metadata import ENCODER, PAIR, VOLUME_DECODER, read_metadata

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("files", "serve")
MACHINES = ("x86_64", "aarch64")


def pins(name: str) -> set[str]:
    return set(re.findall(r"^[\w-]+==\S+", (ROOT / name).read_text(), re.MULTILINE))


def test_the_lock_files_are_the_pins_with_hashes():
    assert pins("requirements.lock") == pins("requirements.txt")
    for extra in EXTRAS:
        locked = pins(f"requirements-{extra}.lock")  # with what the pinned ones need
        assert locked > {pin.lower() for pin in pins(f"requirements-{extra}.txt")}
        assert not locked & pins("requirements.lock")


@pytest.mark.parametrize("name", ["requirements.lock", *(f"requirements-{extra}.lock" for extra in EXTRAS)])
def test_a_lock_file_has_one_wheel_of_each_library_for_each_machine(name):
    lines = (ROOT / name).read_text().splitlines()[1:]
    wheels = [re.fullmatch(r"(.+) --hash=sha256:([0-9a-f]{64})", line) for line in lines]
    assert all(wheels)
    assert len({wheel[2] for wheel in wheels}) == len(lines)
    for machine in MACHINES:
        here = [pin for pin in (Requirement(wheel[1]) for wheel in wheels) if applies(pin, machine)]
        assert sorted(f"{pin.name}{pin.specifier}" for pin in here) == sorted(pins(name))


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("extra", EXTRAS)
def test_the_lock_of_an_extra_holds_all_that_its_libraries_need(extra, machine):
    files = ("requirements.lock", f"requirements-{extra}.lock")
    locked = {pin.split("==")[0] for name in files for pin in pins(name)}
    for name in locked - {"openvino"}:  # its telemetry is left out
        needed = [part for part in map(Requirement, requires(name) or ()) if applies(part, machine)]
        assert {part.name.lower().replace("_", "-") for part in needed} <= locked


def applies(requirement: Requirement, machine: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": "", "platform_machine": machine})


@pytest.fixture(scope="module")
def bill():
    script = [sys.executable, "container/sbom.py"]
    return json.loads(subprocess.run(script, cwd=ROOT, capture_output=True, check=True).stdout)


def test_bill_of_materials_names_packages_with_hashes_and_bundled_libraries(bill):
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    numpy = next(part for part in bill["components"] if part["name"] == "numpy")
    assert numpy["purl"] == f"pkg:pypi/numpy@{np.__version__}"
    wheel = f"numpy=={np.__version__} ; platform_machine == '{platform.machine()}' --hash=sha256:"
    assert wheel + numpy["hashes"][0]["content"] in (ROOT / "requirements.lock").read_text()
    assert any("openblas" in library["name"] for library in numpy["components"])


def test_bill_of_materials_names_the_models(bill):
    models = {part["name"] for part in bill["components"] if part["type"] == "machine-learning-model"}
    here = {f"weights/{path.name}" for path in (ROOT / "weights").glob("*.onnx")}
    assert {"weights/encoder.onnx", "weights/decoder.onnx"} <= here <= models


def test_one_version_everywhere():
    found = {
        "package": read_configuration(ROOT / "pyproject.toml")["project"]["version"],
        "package of the page": read_configuration(ROOT / "web/pyproject.toml")["project"]["version"],
        "CHANGELOG.md": in_file("CHANGELOG.md", r"^## \[(\d\S*)\] - \d{4}-\d\d-\d\d$"),  # the newest comes first
        "CITATION.cff": str(citation()["version"]),
        "label of the image": in_file("Dockerfile", r"^ARG VERSION=(\S+)$"),
    }
    assert found == dict.fromkeys(found, inference.__version__)


def test_the_package_holds_all_of_the_runtime():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT / "inference") for path in (ROOT / "inference").rglob("*.py")}
    assert setuptools["package-dir"] == {"qmedsam": "inference", "qmedsam.weights": "weights"}
    of_the_code = {".".join(["qmedsam", *folder.parts]) for folder in folders}
    assert set(setuptools["packages"]) == {*of_the_code, "qmedsam.weights"}


def test_what_the_container_runs_on_suits_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = {requirement.name: requirement.specifier for requirement in map(Requirement, project["dependencies"])}
    pinned = dict(pin.split("==") for pin in pins("requirements.txt"))
    assert ranges.keys() == pinned.keys()
    assert [name for name, version in pinned.items() if version not in ranges[name]] == []


def test_the_licence_of_the_code_is_apache_2_word_for_word():
    text = (ROOT / "LICENSE").read_bytes()
    assert hashlib.sha256(text).hexdigest() == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


@pytest.mark.parametrize("licence", ["LICENSE", "weights/LICENSE.md"])
def test_both_licences_are_named_wherever_the_project_says_what_it_is(licence):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert licence in project["license-files"]
    assert f"]({licence})" in (ROOT / "README.md").read_text()
    assert project["license"] == citation()["license"] == "Apache-2.0"
    label = in_file("Dockerfile", r'org\.opencontainers\.image\.licenses="(.*)"')
    assert label == "Apache-2.0 AND LicenseRef-QMedSAM-weights"


def stages() -> dict[str, str]:
    """The parts of the Dockerfile by name."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def copied(stage: str) -> list[str]:
    return [name for names in re.findall(r"^COPY (.+) \S+$", stage, re.MULTILINE) for name in names.split()]


def test_the_image_that_is_built_by_default_holds_the_runtime_and_no_more():
    packages = {f"inference/{path.parent.name}" for path in (ROOT / "inference").glob("*/__init__.py")}
    runtime = copied(stages()["runtime"])
    assert {name for name in runtime if name in packages | {"inference"}} == packages - {
        f"inference/{extra}" for extra in EXTRAS
    }
    assert [name for name in runtime if name.startswith("requirements")] == ["requirements.lock"]
    for extra in EXTRAS:
        assert copied(stages()[extra]) == [f"requirements-{extra}.lock", f"inference/{extra}"]
    *_, default = stages()
    assert default == "challenge"
    assert copied(stages()[default]) == []


def test_what_the_dockerfile_copies_reaches_the_builder_and_the_licences_with_it():
    names = [name for stage in stages().values() for name in copied(stage)]
    sources = [source for name in names for source in ROOT.glob(name)]
    assert all(any(ROOT.glob(name)) for name in names)
    files = [[source] if source.is_file() else list(source.rglob("*.*")) for source in sources]
    assert all(any(map(reaches_the_builder, some)) for some in files)
    assert all(reaches_the_builder(ROOT / name) for name in ("LICENSE", "weights/LICENSE.md", "weights/DATASETS.md"))


def reaches_the_builder(file: Path) -> bool:
    """What `.dockerignore` says of a file: of the patterns that fit it or a folder of its, the last decides."""
    name = file.relative_to(ROOT)
    let_in = True
    for rule in (ROOT / ".dockerignore").read_text().split():
        pattern = re.escape(rule.lstrip("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(pattern, str(part)) for part in (name, *name.parents)):
            let_in = rule.startswith("!")
    return let_in


def test_of_all_weights_the_pair_that_ships_is_in_the_image():
    pair = [f"weights/{name}" for name in (*PAIR, VOLUME_DECODER)]  # which may have no volume decoder
    assert all(reaches_the_builder(ROOT / name) for name in [*pair, "predict.sh", "inference/model/pair.py"])
    others = [
        "weights/light.pt",
        "weights/litemedsam/encoder.onnx",
        "weights/litemedsam/volume_decoder.onnx",
        "weights/mine/data.bin",
        "weights/cache/a.blob",
    ]
    elsewhere = ["training/train.py", "tests/conftest.py", "inference/__pycache__/cli.pyc", "demo/a.npz"]
    assert not any(reaches_the_builder(ROOT / name) for name in others + elsewhere)


def test_the_files_that_ship_are_those_that_were_exported_together():
    files = read_metadata(ROOT / "weights" / ENCODER).files
    assert {path.name for path in (ROOT / "weights").glob("*.onnx")} == set(files)


def test_licence_of_the_weights_counts_every_data_set_once():
    """Names, and sums of data sets, images and volumes, are those of weights/DATASETS.md."""
    sets = {row[0].strip("`"): row for row in table("weights/DATASETS.md") if row[0].startswith("`")}
    rows = [row for row in table("weights/LICENSE.md") if "`" in row[5]]
    listed = [re.findall(r"`(\w+)`", row[5]) for row in rows]
    assert sorted(name for names in listed for name in names) == sorted(sets)
    assert [row[2:5] for row in rows] == [sums(names, sets) for names in listed]
    every = sums(list(sets), sets)
    assert [row[2:5] for row in table("weights/LICENSE.md")][-1] == [f"**{number}**" for number in every]
    classes: dict[str, list[str]] = {}
    for row, names in zip(rows, listed, strict=True):
        classes.setdefault(row[0] or list(classes)[-1], []).extend(names)
    restricted, unstated = classes["research or non-commercial use only"], classes["not stated"]
    held = restricted + unstated
    text = " ".join((ROOT / "weights/LICENSE.md").read_text().split())
    assert f"Of the {every[0]} data sets, {len(restricted)} allow research or non-commercial use only" in text
    assert f"{len(unstated)} state no licence for their data at all" in text
    assert f"half of the {every[1]} training images" in text
    assert f"{total(held, sets, 4)} of the {every[2]} training volumes" in text
    assert round(total(held, sets, 3) / total(list(sets), sets, 3), 1) == 0.5  # "half"
    by_all = sums([name for name, row in sets.items() if row[5] == "all"], sets)
    assert f"saw {by_all[0]} of the data sets, with {by_all[1]} images and {by_all[2]} volumes" in text


def test_page_of_the_data_sets_counts_them():
    rows = [row for row in table("weights/DATASETS.md") if row[0].startswith("`")]
    sets = {row[0].strip("`"): row for row in rows}
    assert len(sets) == len(rows)
    assert {row[5] for row in rows} == {"all", "volume decoder"}
    assert all(int(row[3]) + int(row[4]) for row in rows)
    by_all = [name for name, row in sets.items() if row[5] == "all"]
    text = " ".join((ROOT / "weights/DATASETS.md").read_text().split())
    names, images, volumes = sums(list(sets), sets)
    assert f"{images} images and {volumes} small volumes of {names} data sets" in text
    names, images, volumes = sums(by_all, sets)
    assert f"the {names} data sets marked `all`: their {images} images and {volumes} volumes" in text
    for name in set(sets) - set(by_all):
        assert f"`{name}` was seen by the volume decoder alone" in text


def total(names: list[str], sets: dict[str, list[str]], column: int) -> int:
    return sum(int(sets[name][column]) for name in names)


def sums(names: list[str], sets: dict[str, list[str]]) -> list[str]:
    """How many data sets, images and volumes, as the pages write them."""
    return [f"{number:,}" for number in (len(names), total(names, sets, 3), total(names, sets, 4))]


def table(name: str) -> list[list[str]]:
    """The cells of all table rows of a page."""
    lines = (ROOT / name).read_text().splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]


def in_file(name: str, pattern: str) -> str | None:
    match = re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
    return match and match[1]


def citation() -> dict:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_citation_has_what_the_format_asks_for():
    """Citation File Format 1.2.0: what it requires of the software and of each reference."""
    about = citation()
    assert str(about["cff-version"]) == "1.2.0"
    assert about.keys() >= {"title", "message", "authors"}
    assert all(reference.keys() >= {"type", "title", "authors"} for reference in about["references"])
    people = [person for work in (about, *about["references"]) for person in work["authors"]]
    assert all(person.keys() & {"name", "family-names"} for person in people)
