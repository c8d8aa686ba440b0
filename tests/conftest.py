"""Fixtures shared by all tests. Without the real data beside the project, what needs it is skipped, and counted."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
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


def skips(reports: Sequence[pytest.TestReport]) -> str:
    """One line on the tests that were skipped: how many, and for which reasons, the most frequent first."""
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)
    parts = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
    return f"{len(reports)} {'test' if len(reports) == 1 else 'tests'} skipped: {parts}"


@pytest.hookimpl(trylast=True)  # below the table of coverage
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if reports := terminalreporter.stats.get("skipped"):
        terminalreporter.write_line(skips(reports), yellow=True)
