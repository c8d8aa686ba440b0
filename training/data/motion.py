"""Pairs of slices made of stills: the still, and what the slice before it may have looked like.

Stills hold far more kinds of objects than volumes do. An object's section shrinks from its middle slice to its ends,
roughly as an ellipsoid's; it moves and bends on the way. Training on simulated motion is what video object segmentation
begins with (Perazzi et al., MaskTrack, 2017).
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inference.segment.extent import UNKNOWN
from training.data.boxes import tight_boxes

# In half sides of the object's box:
REACH = 1.2  # how far from its centre the motion reaches, standard deviation
SHIFT = 0.08  # standard deviation
BEND = 0.04  # of the longer side: mean of the standard deviation
BEND_GRID = 6  # control points of the bending, along an axis
LEAST_SECTION = 0.17  # of the middle section's radius
LONGEST_HALF = 40  # slices from an object's middle to its ends
LARGEST_ZOOM, SMALLEST_ZOOM = 2.5, 0.7
CHANGE_OF_ZOOM = 0.1  # standard deviation of the logarithm of what is not an ellipsoid's
CHANGE_OF_BOX = 0.15  # the same of the given box
LARGEST_BOX = 5.0  # of a given box's side, in those of the object on the slice
NOISE = 0.02


@dataclass(frozen=True)
class Motion:
    """How the slice before differs from a still, for each of B images; and where both lie in their object.

    zoom: (B,) section of the slice before, in sections of the still's. section: (B,) the still's section, in those of
    the middle slice. places: (B, 2, 3) of the slice before and the still, as `training.data.clips.place` has them.
    """

    zoom: np.ndarray
    section: np.ndarray
    places: np.ndarray


def draw_motion(rng: np.random.Generator, count: int) -> Motion:
    """Random motions of `count` images."""
    half = rng.integers(2, LONGEST_HALF, count)
    now = np.ceil(half * rng.random(count) ** 0.7).astype(int)
    before = np.maximum(0, now - np.ceil(0.3 * half * rng.random(count)).astype(int))
    section = {name: section_at(offset, half) for name, offset in (("now", now), ("before", before))}
    zoom = section["before"] / section["now"] * np.exp(CHANGE_OF_ZOOM * rng.normal(size=count))
    places = [np.stack([half + offset, half - offset, offset - before], axis=1) for offset in (before, now)]
    return Motion(
        np.clip(zoom, SMALLEST_ZOOM, LARGEST_ZOOM).astype(np.float32),
        section["now"].astype(np.float32),
        np.stack(places, axis=1).astype(np.float32),
    )


def section_at(offset: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Radius of an ellipsoid's section `offset` slices from the middle, in radii of the middle section."""
    relative = 2 * offset / (2 * half + 1)
    return np.maximum(LEAST_SECTION, np.sqrt(np.maximum(0, 1 - relative**2)))


def motion_grid(rng: np.random.Generator, boxes: Tensor, zoom: np.ndarray, input_size: int) -> Tensor:
    """Sampling grids (B, S, S, 2) in -1..1 that show what is in the boxes (B, 4) enlarged by `zoom`, shifted and bent,
    and leave the world around it as it is."""
    count, device = len(boxes), boxes.device
    identity = F.affine_grid(torch.eye(2, 3, device=device)[None], [1, 1, input_size, input_size], align_corners=False)
    centre = ((boxes[:, :2] + boxes[:, 2:]) / input_size - 1)[:, None, None]
    half = ((boxes[:, 2:] - boxes[:, :2]) / input_size).clamp(min=0.025)[:, None, None]
    from_centre = identity - centre
    nearness = torch.exp(-(from_centre / half).square().sum(dim=-1, keepdim=True) / (2 * REACH**2))
    shrink = 1 / torch.from_numpy(zoom).to(device)[:, None, None, None] - 1
    shift = torch.from_numpy(rng.normal(size=(count, 1, 1, 2)).astype(np.float32)).to(device) * SHIFT * half
    return identity + nearness * (shrink * from_centre + shift) + bending(rng, half.amax(dim=-1), input_size)


def bending(rng: np.random.Generator, half: Tensor, input_size: int) -> Tensor:
    """Smooth random displacements (B, S, S, 2) for objects of half a side (B, 1, 1), all in -1..1."""
    strength = BEND * 2 * torch.from_numpy(rng.random(len(half)).astype(np.float32)).to(half.device)
    points = torch.from_numpy(rng.normal(size=(len(half), 2, BEND_GRID, BEND_GRID)).astype(np.float32)).to(half.device)
    points = points * (strength * half.flatten())[:, None, None, None]
    field = F.interpolate(points, (input_size, input_size), mode="bicubic", align_corners=True)
    return field.permute(0, 2, 3, 1)


def moved(planes: Tensor, grid: Tensor) -> Tensor:
    """Planes (B, C, S, S) as a grid shows them."""
    return F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def with_noise(rng: np.random.Generator, images: Tensor) -> Tensor:
    """Images with noise of a random strength, so that no pixel of a pair gives the other's away."""
    generator = torch.Generator(images.device).manual_seed(int(rng.integers(2**31)))
    strength = NOISE * torch.from_numpy(rng.random(len(images)).astype(np.float32)).to(images.device)
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return (images + strength[:, None, None, None] * noise).clamp(0, 1)


def box_of_volume(
    rng: np.random.Generator, boxes: Tensor, before: Tensor, section: np.ndarray, input_size: int
) -> Tensor:
    """The box (N, 4) that was given for the whole object: around its middle section, which holds both slices'.

    Args:
        boxes: (N, 4) on the still. before: (N, S, S) bool, the masks of the slice before.
        section: (N,) the still's section, in those of the middle slice.
    """
    count, device = len(boxes), boxes.device
    growth = np.exp(CHANGE_OF_BOX * rng.normal(size=count)) / section
    growth = torch.from_numpy(growth.astype(np.float32)).to(device).clamp(1, LARGEST_BOX)[:, None]
    off_centre = torch.from_numpy(rng.uniform(0.1, 0.9, (count, 2)).astype(np.float32)).to(device)
    extra = (growth - 1) * (boxes[:, 2:] - boxes[:, :2])
    low, high = boxes[:, :2] - extra * off_centre, boxes[:, 2:] + extra * (1 - off_centre)
    around = tight_boxes(before)
    is_there = before.flatten(1).any(dim=1)[:, None]
    low = torch.where(is_there, torch.minimum(low, around[:, :2]), low)
    high = torch.where(is_there, torch.maximum(high, around[:, 2:]), high)
    return torch.cat([low, high], dim=1).clamp(0, input_size)


def unknown_extent(places: Tensor) -> Tensor:
    """Places (..., 3) of an object whose ends are not told."""
    return torch.cat([torch.full_like(places[..., :2], UNKNOWN), places[..., 2:]], dim=-1)
