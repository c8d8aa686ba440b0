"""Reading label maps to score: ground truths and segmentations, in npz files that nobody vouches for."""

from pathlib import Path

import numpy as np

from inference.cases.npz import open_npz, read_arrays
from inference.errors import CaseError
from inference.memory_limit import case_budget, memory_limit


def read_truth(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """A ground truth: `gts`, integers (H, W) or (D, H, W), and `spacing` (mm, in the order of the axes) or None.

    Raises:
        CaseError: the reason in one line, without the file name.
    """
    arrays = read_arrays(path, ("gts", "spacing"), case_budget(memory_limit()))
    return _labels(arrays, "gts"), arrays.get("spacing")


def read_segs(path: Path) -> np.ndarray:
    """A segmentation: `segs`, integers (H, W) or (D, H, W).

    Raises:
        CaseError: the reason in one line, without the file name.
    """
    return _labels(read_arrays(path, ("segs",), case_budget(memory_limit())), "segs")


def dimensions_of(path: Path) -> str:
    """ "2D" or "3D", by the axes of a ground truth; no more than a header is read.

    Raises:
        CaseError: the reason in one line, without the file name.
    """
    with open_npz(path) as archive:
        header = archive.header("gts")
    if header is None:
        raise CaseError("array 'gts' is missing")
    return f"{len(header.shape)}D"


def _labels(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise CaseError(f"array '{name}' is missing")
    labels = arrays[name]
    if labels.dtype.kind == "b":
        return labels.view(np.uint8)
    if labels.dtype.kind not in "ui":
        raise CaseError(f"'{name}' has type {labels.dtype}, not integer labels")
    return labels
