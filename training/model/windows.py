"""Windows of a feature map, the unit that window attention works on."""

import torch.nn.functional as F
from torch import Tensor


def partition(x: Tensor, size: int) -> tuple[Tensor, tuple[int, int]]:
    """Cut (B, H, W, C) into windows (B * rows * columns, size, size, C).

    The map is padded with zeros at the bottom and the right to whole windows. Also returns (rows, columns).
    """
    b, h, w, c = x.shape
    x = F.pad(x, (0, 0, 0, -w % size, 0, -h % size))
    rows, columns = x.shape[1] // size, x.shape[2] // size
    x = x.reshape(b, rows, size, columns, size, c).transpose(2, 3)  # (B, rows, columns, size, size, C)
    return x.reshape(-1, size, size, c), (rows, columns)


def merge(windows: Tensor, grid: tuple[int, int], height: int, width: int) -> Tensor:
    """Inverse of `partition`: (B * rows * columns, size, size, C) to (B, height, width, C), padding cropped."""
    rows, columns = grid
    size, c = windows.shape[1], windows.shape[-1]
    x = windows.reshape(-1, rows, columns, size, size, c).transpose(2, 3)
    return x.reshape(-1, rows * size, columns * size, c)[:, :height, :width]
