"""One affine resampling per image: what is shown is cut out on the host, the batch is warped on the device."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 2  # px around what the output shows, for interpolation
FRAME = 1  # replicated px around the image: interpolation at the image's border must not see the padding


@dataclass(frozen=True)
class Placement:
    """How an image lies on its planes, and these in the input.

    matrix: (3, 3) from the planes' pixels to the input's.
    border: (4,) xyxy of the image on the planes, px; beyond it there is padding.
    """

    matrix: np.ndarray
    border: np.ndarray


@dataclass(frozen=True)
class SourceCrop(Placement):
    """The part of an image that the output shows, shrunk beforehand if the output is coarser.

    planes: (3 + K, h, w) uint8: red, green, blue and K masks (0 or 255, in between where shrinking mixed them).
    """

    planes: np.ndarray


def place_whole(height: int, width: int, matrix: np.ndarray) -> Placement:
    """An image as it is, whose pixels are on the device already (`DeviceImages`).

    Args:
        matrix: (3, 3) from image to input pixels, pixel edges.
    """
    from_planes = np.array([[1, 0, -FRAME], [0, 1, -FRAME], [0, 0, 1]])
    return Placement(matrix @ from_planes, np.array([FRAME, FRAME, FRAME + width, FRAME + height], np.float32))


def cut_source(
    image: np.ndarray, objects: np.ndarray, members: list[tuple[int, ...]], matrix: np.ndarray, input_size: int
) -> SourceCrop:
    """Cut out what an affine mapping shows of an image.

    The runtime shrinks with INTER_AREA and enlarges with bilinear interpolation; the same is done here: shrinking here,
    to whole grey values where the runtime rounds nothing, enlarging (and everything else) in `warp`.

    Args:
        image: uint8 (H, W) or (H, W, 3).
        objects: (H, W) numbered objects; members: the object numbers of each mask wanted.
        matrix: (3, 3) from image to input pixels, pixel edges.
    """
    height, width = objects.shape
    corners = np.linalg.solve(matrix, [[0, input_size, 0, input_size], [0, 0, input_size, input_size], [1, 1, 1, 1]])
    x0, y0 = np.clip(np.floor(corners[:2].min(axis=1)).astype(int) - MARGIN, 0, [width - 1, height - 1])
    x1, y1 = np.clip(np.ceil(corners[:2].max(axis=1)).astype(int) + MARGIN, [x0 + 1, y0 + 1], [width, height])
    cut, cut_objects = image[y0:y1, x0:x1], objects[y0:y1, x0:x1]

    scale = np.minimum(np.linalg.norm(matrix[:2, :2], axis=0), 1)  # along the image's x and y
    size = np.maximum(np.rint([(x1 - x0) * scale[0], (y1 - y0) * scale[1]]).astype(int), 1)
    planes = np.zeros((3 + len(members), size[1] + 2 * FRAME, size[0] + 2 * FRAME), np.uint8)
    planes[:3] = _framed(_shrunk(cut, size)).reshape(*planes.shape[1:], -1).transpose(2, 0, 1)
    for plane, numbers in zip(planes[3:], members, strict=True):
        mask = cut_objects == numbers[0]
        for number in numbers[1:]:
            mask |= cut_objects == number
        plane[FRAME:-FRAME, FRAME:-FRAME] = _shrunk(mask.astype(np.uint8) * 255, size)

    ratio_x, ratio_y = size / [x1 - x0, y1 - y0]
    to_planes = np.array([[ratio_x, 0, FRAME - x0 * ratio_x], [0, ratio_y, FRAME - y0 * ratio_y], [0, 0, 1]])
    border = np.array([FRAME, FRAME, FRAME + size[0], FRAME + size[1]], np.float32)
    return SourceCrop(matrix @ np.linalg.inv(to_planes), border, planes)


def _shrunk(pixels: np.ndarray, size: np.ndarray) -> np.ndarray:
    if (size[1], size[0]) == pixels.shape[:2]:
        return pixels
    return cv2.resize(pixels, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)


def _framed(pixels: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(pixels, FRAME, FRAME, FRAME, FRAME, cv2.BORDER_REPLICATE)


def stack(crops: list[SourceCrop]) -> np.ndarray:
    """(B, P, h, w) uint8: all crops in the top left corners of common planes, the rest 0."""
    sizes = np.array([crop.planes.shape for crop in crops])
    planes = np.zeros((len(crops), *sizes.max(axis=0)), np.uint8)
    for target, crop, (count, height, width) in zip(planes, crops, sizes, strict=True):
        target[:count, :height, :width] = crop.planes
    return planes


def sampling_grid(
    placements: list[Placement], height: int, width: int, input_size: int, device: torch.device
) -> Tensor:
    """For `grid_sample`: where each output pixel's centre lies on its planes, (B, S, S, 2) in -1..1.

    Args:
        height, width: of the common planes.
    """
    from_unit = np.array([[input_size / 2, 0, input_size / 2], [0, input_size / 2, input_size / 2], [0, 0, 1]])
    to_unit = np.array([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]])
    theta = np.stack([(to_unit @ np.linalg.inv(placement.matrix) @ from_unit)[:2] for placement in placements])
    theta = torch.from_numpy(theta.astype(np.float32)).to(device)
    return F.affine_grid(theta, [len(placements), 1, input_size, input_size], align_corners=False)


def inside_image(grid: Tensor, placements: list[Placement], height: int, width: int) -> Tensor:
    """(B, 1, S, S) bool: output pixels whose centre lies on the image, not on padding."""
    unit = (
        np.stack([placement.border for placement in placements]) * np.array([2 / width, 2 / height] * 2, np.float32) - 1
    )
    left, top, right, bottom = torch.from_numpy(unit.astype(np.float32)).to(grid.device)[:, :, None, None].unbind(1)
    x, y = grid.unbind(-1)
    return ((x >= left) & (x <= right) & (y >= top) & (y <= bottom))[:, None]


def warp(planes: Tensor, grid: Tensor) -> Tensor:
    """Bilinear resampling: planes (B, P, h, w) uint8 to (B, P, S, S) float32 in 0..255."""
    return F.grid_sample(planes.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
