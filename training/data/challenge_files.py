"""A case and its ground truth on disk, as the challenge has them: `imgs/<name>` and `gts/<name>`."""

from pathlib import Path

import numpy as np

from inference.atomic import write_atomically

PARTS = ("imgs", "gts")


def make_folders(out: Path) -> None:
    """Raises OSError where they cannot be made."""
    for part in PARTS:
        (out / part).mkdir(parents=True, exist_ok=True)


def write_challenge_case(
    out: Path, name: str, imgs: np.ndarray, boxes: np.ndarray, gts: np.ndarray, spacing: np.ndarray | None
) -> None:
    """Write `out/imgs/<name>.npz` and, after it, `out/gts/<name>.npz`; each is whole or as it was.

    Args:
        imgs: uint8 (H, W), (H, W, 3) or (D, H, W).
        boxes: int64 (N, 4) or (N, 6), inclusive corners.
        gts: labels like imgs, without channels; the i-th box is that of label i, from 1.
        spacing: float32 (3,), mm, z y x; None in 2D.
    """
    more = {} if spacing is None else {"spacing": spacing}
    for part, arrays in zip(PARTS, ({"imgs": imgs, "boxes": boxes}, {"gts": gts}), strict=True):
        path = out / part / f"{name}.npz"
        write_atomically(path, lambda file, arrays=arrays: np.savez_compressed(file, **arrays, **more))
