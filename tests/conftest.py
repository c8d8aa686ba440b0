"""Fixtures shared by all tests. Without the real data beside the project, what needs it is skipped, and counted."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
NOT_SHARED = "no ../shared beside this checkout (real cases, reference outputs)"


def _shared_folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(NOT_SHARED)
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real images: `val/imgs`, `val/gts`, `train`, `train_volumes`."""
    return _shared_folder("data")


@pytest.fixture(scope="session")
def shared_parity() -> Path:
    """Folder of the reference inputs and outputs of the published models."""
    return _shared_folder("parity")


@pytest.fixture(scope="session")
def untrained(tmp_path_factory) -> Callable[[str], tuple]:
    """`untrained(name)`: the torch model, filled from a seed, in eval mode, and the folder of its ONNX pair."""

    @cache
    def untrained(name: str) -> tuple:
        from training.export.pair import export_pair
        from training.model import build_model
        from training.model.untrained import fill_randomly

        model = build_model(name).eval()
        fill_randomly(model, seed=1)
        folder = tmp_path_factory.mktemp(name)
        export_pair(model, folder)
        return model, folder

    return untrained


@pytest.fixture(scope="session")
def following():
    """The model that ships, with a random memory: its masks, and how long objects are present, depend on the state."""
    import torch

    from training.model.checkpoint import load_model

    model = load_model(WEIGHTS / "light.pt")
    model.volume_decoder = None  # a copy of the decoder of images in its place: its masks do not hang on the memory's
    model.learn_to_follow()
    drawn = torch.Generator().manual_seed(21)  # marked objects of the parity tests end within their volumes
    with torch.no_grad():
        for parameter in model.volume_decoder.slice_memory.parameters():
            parameter.normal_(0, 0.1, generator=drawn)
    return model.eval()


@pytest.fixture(scope="session")
def following_pair(following, tmp_path_factory) -> Path:
    """Folder of its three ONNX files."""
    from training.export.pair import export_pair

    folder = tmp_path_factory.mktemp("following")
    export_pair(following, folder)
    return folder


def skips(reports: Sequence[pytest.TestReport]) -> str:
    """One line on the tests that were skipped: how many, and for which reasons, the most frequent first."""
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)
    parts = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
    return f"{len(reports)} {'test' if len(reports) == 1 else 'tests'} skipped: {parts}"


@pytest.hookimpl(trylast=True)  # below the table of coverage
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if reports := terminalreporter.stats.get("skipped"):
        terminalreporter.write_line(skips(reports), yellow=True)
