"""The guides: their links lead somewhere, and the commands, files and settings that they name exist."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest

from inference.arguments import SUBCOMMANDS

ROOT = Path(__file__).resolve().parents[2]
GUIDES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
GUIDES += [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "weights").glob("*.md"))]
HISTORY = ("CHANGELOG.md", "DATASETS.md")  # what they name need not exist any more
# sub-commands that have a guide of their own
EXPLAINED_ELSEWHERE = {"segment": "docs/files.md", "page": "docs/web.md", "serve": "docs/serve.md"}
CURRENT = [guide for guide in GUIDES if guide.name not in HISTORY]


def name(guide: Path) -> str:
    return str(guide.relative_to(ROOT))


@pytest.mark.parametrize("guide", GUIDES, ids=name)
def test_relative_links_lead_to_files_and_headings(guide):
    links = re.findall(r"\]\(([^)\s]+)\)", guide.read_text())
    local = [link.partition("#") for link in links if not re.match(r"https?://|mailto:", link)]
    targets = [(guide.parent / path if path else guide, heading) for path, _, heading in local]
    assert [str(path) for path, _ in targets if not path.exists()] == []
    assert [heading for path, heading in targets if heading and heading not in anchors(path)] == []


def anchors(page: Path) -> set[str]:
    """The headings of a page as they stand in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("guide", CURRENT, ids=name)
def test_modules_and_targets_to_start_exist(guide):
    text = guide.read_text()
    modules = {module.rstrip(".") for module in re.findall(r"\w -m\s+([a-z][\w.]*)", text)}
    assert {module for module in modules if not can_be_started(module)} == set()
    goals = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE))
    assert goals <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def can_be_started(module: str) -> bool:
    if (ROOT / module.partition(".")[0]).is_dir():
        path = ROOT / module.replace(".", "/")
        return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
    return find_spec(module) is not None


@pytest.mark.parametrize("guide", CURRENT, ids=name)
def test_files_of_the_code_exist(guide):
    folders = r"(?:inference|training|container|tests)/"
    named = set(re.findall(rf"(?<![\w./]){folders}[\w./*-]*", guide.read_text())) - {
        "training/configs/compare/LIST.yaml"
    }
    assert {path for path in named if not any(ROOT.glob(path.rstrip("/.")))} == set()


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 180


def usage(*arguments: str) -> str:
    command = [sys.executable, "-m", "inference", *arguments, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_readme_explains_the_options_that_the_command_has():
    names = [(), *((name,) for name in SUBCOMMANDS if name not in EXPLAINED_ELSEWHERE)]
    of_the_command = set().union(*(options(usage(*name)) for name in names))
    table = re.findall(r"^\| (`-.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert "--input" in of_the_command
    assert options(" ".join(table)) == of_the_command - {"--help"}


@pytest.mark.parametrize(("subcommand", "guide"), EXPLAINED_ELSEWHERE.items())
def test_guides_explain_the_options_that_their_subcommand_has_besides(subcommand, guide):
    own = options(usage(subcommand)) - options(usage())
    assert own
    assert own <= options((ROOT / guide).read_text())


@pytest.mark.parametrize("guide", CURRENT, ids=name)
def test_subcommands_exist(guide):
    named = set(re.findall(r"(?:^|`)(?:python -m inference|qmedsam) ([a-z]+) ", guide.read_text(), re.MULTILINE))
    assert named <= SUBCOMMANDS.keys()


def options(text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]+", text))


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        (".", "Of the {} quantized activations of image encoder and mask decoder {} have no sign bit"),
        ("litemedsam", "Of the {} quantized activations {} have no sign bit"),
    ],
)
def test_the_card_counts_the_activations_without_a_sign_bit_as_the_files_have_them(folder, sentence):
    signed = []
    for file in ("encoder.onnx", "decoder.onnx"):
        graph = onnx.load(ROOT / "weights" / folder / file).graph
        types = {tensor.name: tensor.data_type for tensor in graph.initializer}
        zero_points = [node.input[2] for node in graph.node if node.op_type == "QuantizeLinear"]
        signed += [types[name] == onnx.TensorProto.INT8 for name in zero_points]
    card = " ".join((ROOT / "weights" / "README.md").read_text().split())
    assert sentence.format(len(signed), signed.count(False)) in card
