"""A small training root of phantoms and validation cases, for tests of the training side."""

from pathlib import Path

import numpy as np

from training.data.labelled_case import LabelledCase, write_labelled_case
from training.data.phantoms import ct_slice, phantom_case_2d, phantom_volume, ultrasound


def write_phantom_root(root: Path) -> Path:
    """Three modalities: 6 grey images and 2 colour images of different sizes, and one volume with empty end slices."""
    for number in range(6):
        phantom = phantom_case_2d((90 + 10 * number, 120), n_boxes=1 + number % 3, seed=number)
        write_labelled_case(root / "US" / "grey" / f"{number}.npz", LabelledCase(phantom.imgs, phantom.gts))
    for number in range(2):
        phantom = phantom_case_2d((300, 200), n_boxes=4, seed=10 + number, colour=True)
        write_labelled_case(root / "Dermoscopy" / "colour" / f"{number}.npz", LabelledCase(phantom.imgs, phantom.gts))
    phantom = phantom_volume((8, 64, 64), n_boxes=2, seed=20)
    write_labelled_case(
        root / "CT" / "volumes" / "a.npz", LabelledCase(phantom.imgs, phantom.gts, np.float32([2, 1, 1]))
    )
    return root


def write_ct_and_ultrasound(root: Path) -> Path:
    """Two modalities, two of the demonstration's images each."""
    for modality, draw in (("CT", ct_slice), ("US", ultrasound)):
        for number in range(2):
            phantom = draw(np.random.default_rng(number))
            path = root / modality / "phantoms" / f"{number}.npz"
            write_labelled_case(path, LabelledCase(phantom.imgs, phantom.gts))
    return root


def write_validation_case(root: Path, name: str, seed: int) -> np.ndarray:
    """A phantom of two objects, `imgs` and `gts` beside each other under `root`; its label map."""
    phantom = phantom_case_2d((120, 160), n_boxes=2, seed=seed)
    for part, arrays in (("imgs", {"imgs": phantom.imgs, "boxes": phantom.boxes}), ("gts", {"gts": phantom.gts})):
        (root / part).mkdir(parents=True, exist_ok=True)
        np.savez(root / part / name, **arrays)
    return phantom.gts
