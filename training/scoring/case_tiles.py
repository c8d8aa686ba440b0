"""A case as a row of tiles: image, truth with its boxes, and what folders of segmentations hold, with its DSC."""

from pathlib import Path

import cv2
import numpy as np

from inference.cases.case import Case, make_case, read_case
from inference.cases.overlay import draw_overlay
from inference.errors import CaseError
from inference.memory_limit import case_budget, memory_limit
from training.data.tiles import titled
from training.scoring.label_maps import read_segs, read_truth
from training.scoring.metrics import case_dice
from training.scoring.validation import naming, truth_of

SIDE = 256  # px of a tile


def row_of(val: Path, segs: dict[str, Path], name: str) -> list[np.ndarray]:
    """The tiles of a case: image, truth, then one for each folder. Raises ValueError, naming the file."""
    with naming(val / "imgs" / f"{name}.npz") as path:
        case = read_case(path, case_budget(memory_limit()))
    with naming(truth_of(path)) as truth_path:
        truth, _ = read_truth(truth_path)
    maps = {}
    for title, folder in segs.items():
        with naming(folder / path.name) as of_segs:
            maps[title] = read_segs(of_segs)
            if maps[title].shape != truth.shape:
                raise CaseError(f"'segs' has shape {maps[title].shape}, the ground truth {truth.shape}")
    z = shown_slice(truth)
    unprompted = make_case(case.volume[z], np.empty((0, 4)))
    tiles = [titled(tile(unprompted, np.zeros(truth.shape[-2:], np.uint8)), name)]
    tiles.append(titled(tile(*on_slice(case, truth, z)), "truth"))
    for title, labels in maps.items():
        tiles.append(titled(tile(*on_slice(case, labels, z)), f"{title} {case_dice(truth, labels):.3f}"))
    return tiles


def shown_slice(truth: np.ndarray) -> int:
    """The middle slice of the largest object; 0 of an image, and of a volume without any."""
    sizes = np.bincount(truth.ravel())[1:]
    if truth.ndim == 2 or not sizes.any():
        return 0
    slices = np.flatnonzero((truth == sizes.argmax() + 1).any(axis=(1, 2)))
    return int(slices[len(slices) // 2])


def on_slice(case: Case, labels: np.ndarray, z: int) -> tuple[Case, np.ndarray]:
    """A slice as a case of its own, with the boxes that reach it, and its label map of the objects of these boxes."""
    numbers = np.flatnonzero(case.usable & (case.boxes[:, 2] <= z) & (z <= case.boxes[:, 5]))
    one = make_case(case.volume[z], case.boxes[numbers][:, [0, 1, 3, 4]])
    new = np.zeros(max(len(case.boxes), int(labels.max())) + 1, one.segs_dtype)
    new[numbers + 1] = np.arange(1, len(numbers) + 1)
    return one, new[labels[z] if labels.ndim == 3 else labels]


def tile(case: Case, labels: np.ndarray) -> np.ndarray:
    """An overlay at most `SIDE` px a side, centred on white, (SIDE, SIDE, 3) uint8, blue first."""
    picture = draw_overlay(case, labels)
    scale = SIDE / max(picture.shape[:2])
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    top, left = (SIDE - small.shape[0]) // 2, (SIDE - small.shape[1]) // 2
    canvas = np.full((SIDE, SIDE, 3), 255, np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas
