"""Fixtures shared by all tests: the real data beside the project, skipped with a reason where it is absent."""

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
