"""A folder of segmentations and one of their ground truths, whose scores are known."""

from pathlib import Path

import numpy as np


def write_scored_folders(root: Path) -> tuple[Path, Path]:
    """Two CT cases (DSC 1 and 0.5), an MR one (1), an MR volume (0.8); 2D and 3D. The folders `segs` and `gts`."""
    segs, gts = root / "segs", root / "gts"
    segs.mkdir()
    gts.mkdir()
    two_squares = np.zeros((20, 20), np.uint8)
    two_squares[2:6, 2:6], two_squares[10:14, 10:14] = 1, 2
    half = np.where(two_squares == 2, 0, two_squares)
    slab, thicker = np.zeros((6, 12, 12), np.uint8), np.zeros((6, 12, 12), np.uint8)
    slab[:2], thicker[:3] = 1, 1
    write_pair(segs, gts, "2DBox_CT_a.npz", two_squares, two_squares)
    write_pair(segs, gts, "2DBox_CT_b.npz", two_squares, half)
    write_pair(segs, gts, "2DBox_MR_a.npz", two_squares, two_squares)
    write_pair(segs, gts, "3DBox_MR_a.npz", slab, thicker, spacing=np.float32([1, 1, 1]))
    return segs, gts


def write_pair(segs: Path, gts: Path, name: str, gt: np.ndarray, seg: np.ndarray, **extra: np.ndarray) -> None:
    np.savez(gts / name, gts=gt, **extra)
    np.savez(segs / name, segs=seg)
