"""Fixtures shared by all tests: the real data beside the project, skipped with a reason where it is absent."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared_folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"../shared/{name} is not beside this checkout: tests on real cases need it")
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
