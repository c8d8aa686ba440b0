"""A model that says that an object fills its box, and cases whose scores with it are worked out by hand."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from inference.model.metadata import INDICES

SIDE = 256


class FilledBox(nn.Module):
    """Its logits are 1 in the box and -1 around it."""

    name, box_convention = "filled", INDICES
    input_size = logit_size = SIDE
    state = ()

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def encode(self, images):
        return (images,)

    def decode(self, embeddings, boxes, image_index=None):
        x, y = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="xy")
        low, high = boxes[:, :2, None, None], boxes[:, 2:, None, None]
        inside = (x > low[:, 0]) & (x < high[:, 0]) & (y > low[:, 1]) & (y < high[:, 1])
        return inside.float() * 2 - 1, torch.ones(len(boxes))


def write_case_in_box(root: Path, name: str, rows: int, depth: int = 0) -> float:
    """Write a case of one object, `imgs` and `gts` beside each other under `root`; its DSC with `FilledBox`.

    The box covers 100 x 100 pixels of each slice, and the object `rows` of their rows: DSC is 2 * rows / (rows + 100).

    Args:
        depth: slices of a volume, all of them in the box and in the object; 0 for a 2D case.
    """
    shape = (depth, SIDE, SIDE) if depth else (SIDE, SIDE)
    gts = np.zeros(shape, np.uint8)
    gts[..., 50 : 50 + rows, 60:160] = 1
    low, high = ([60, 50, 0], [160, 150, depth - 1]) if depth else ([60, 50], [160, 150])
    imgs = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for part, arrays in (("imgs", {"imgs": imgs, "boxes": np.array([low + high])}), ("gts", {"gts": gts})):
        (root / part).mkdir(parents=True, exist_ok=True)
        np.savez(root / part / name, **arrays)
    return 2 * rows / (rows + 100)
