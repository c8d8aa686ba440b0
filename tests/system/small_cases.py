"""Folders of small cases, and the results that a run leaves of them."""

from pathlib import Path

import numpy as np

IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90), np.uint8)
BOX = np.array([[10, 10, 60, 50]])


def write_cases(folder: Path, count: int) -> list[str]:
    """Write `count` images with a box each; returns the names of the files."""
    names = [f"2DBox_CT_{number:03}.npz" for number in range(count)]
    for name in names:
        np.savez(folder / name, imgs=IMAGE, boxes=BOX)
    return names


def whole_results(folder: Path) -> list[str]:
    """Names of the results, each of which is read; other files of the run must be hidden."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    for name in names:
        assert np.load(folder / name)["segs"].shape == IMAGE.shape
    return names
