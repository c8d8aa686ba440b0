"""From slices to the batch that a training step consumes."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from inference.model.metadata import AFTER_PADDING
from inference.segment.preprocess import SMALLEST_RANGE
from training.data.augmentation import (
    Intensities,
    change_intensities,
    draw_geometry,
    draw_intensities,
)
from training.data.boxes import BoxConfig, BoxErrors, draw_box_errors, tight_boxes, with_errors
from training.data.config import DataConfig
from training.data.crops import crop_matrix, draw_crop, keep_in_input
from training.data.slices import Slice
from training.data.targets import Targets
from training.data.warp import Placement, cut_source, inside_image, place_whole, sampling_grid, stack, warp


@dataclass(frozen=True)
class Clips:
    """N objects on T slices each, in the order in which they are visited; see `training.data.clips`.

    frames: (N, T) int64, the slices' positions among the images of the batch.
    masks: (N, T, S, S) float32 in {0, 1}; empty beyond the end of an object whose extent is not told.
    boxes: (N, 4) float32 xyxy in input pixels, of the whole object, or, where its extent is not told, on its start
        slice.
    places: (N, T, 3) float32: slices to the object's first and last one (-1 where not told) and from its start slice.
    neighbours: (N, 2, S/4, S/4) float32 in 0..1, see `inference.segment.neighbours`.
    told: (N, T) bool: the true mask is handed on to the next slice in place of what was decoded.
    boxed: (N,) bool: after the start slice, the box is one around the last mask, as it always is where the extent is
        not told.
    """

    frames: Tensor
    masks: Tensor
    boxes: Tensor
    places: Tensor
    neighbours: Tensor
    told: Tensor
    boxed: Tensor


@dataclass(frozen=True)
class Batch:
    """B images with N boxes, and slices to follow objects through; S is the side of the model's input.

    images: (B + frames of the clips, 3, S, S) float32 in 0..1, normalised as at run time.
    masks: (N, S, S) float32 in {0, 1}.
    boxes: (N, 4) float32 xyxy in input pixels, with drawing errors.
    pixel_sizes: (N,) float32, size of a pixel of the box's image, in input px.
    image_index: (N,) int64, the image of each box, ascending.
    modalities: B names.
    clips: objects on several slices; those of one entry have equally many.
    """

    images: Tensor
    masks: Tensor
    boxes: Tensor
    pixel_sizes: Tensor
    image_index: Tensor
    modalities: list[str]
    clips: tuple[Clips, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One augmented sample, not yet rendered: where its pixels come from, and one mask per box asked for."""

    source: Placement  # a `SourceCrop` unless the pixels are on the device already
    members: list[tuple[int, ...]]  # object numbers of each of the K masks
    areas: np.ndarray  # (K,) px that each mask should have in the input, were it wholly in it
    pixel_size: float  # of an image pixel, in input px
    limits: np.ndarray  # (4,) xyxy of the image in the input
    is_colour: bool
    modality: str


@dataclass(frozen=True)
class Draft:
    """A batch before rendering: everything random is decided, nothing has been computed per pixel of the input."""

    samples: list[Sample]
    intensities: Intensities
    box_errors: BoxErrors
    noise_seed: int


def draw_batch(rng: np.random.Generator, slices: list[Slice], config: DataConfig) -> Draft:
    """Decide on crops, augmentations, targets and box errors; runs on the host, as does cutting the crops unless
    `config.on_device`."""
    samples = [_draw_sample(rng, item, config) for item in slices]
    return Draft(
        samples,
        draw_intensities(rng, [config.augmentation_of(item.modality) for item in slices]),
        draw_box_errors(rng, config.boxes, len(slices) * config.boxes.per_image, config.input_size),
        int(rng.integers(2**31)),
    )


def _draw_sample(rng: np.random.Generator, item: Slice, config: DataConfig) -> Sample:
    augmentation, input_size = config.augmentation_of(item.modality), config.input_size
    height, width = item.targets.objects.shape
    anchor = int(rng.integers(len(item.targets)))
    crop = draw_crop(rng, height, width, item.targets.boxes[anchor], augmentation)
    matrix, content_width, content_height = crop_matrix(crop, input_size)
    matrix = draw_geometry(rng, augmentation, content_width, content_height, input_size) @ matrix
    matrix = keep_in_input(matrix, item.targets.boxes[anchor], input_size)
    pixel_area = abs(np.linalg.det(matrix[:2, :2]))

    chosen = _draw_targets(rng, item.targets, anchor, matrix, pixel_area, config.boxes, input_size)
    members = [item.targets.members[i] for i in chosen]
    if config.on_device:
        source = place_whole(height, width, matrix)
    else:
        source = cut_source(item.image, item.targets.objects, members, matrix, input_size)
    corners = matrix[:2] @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    limits = np.clip(np.concatenate([corners.min(axis=1), corners.max(axis=1)]), 0, input_size)
    return Sample(
        source,
        members,
        areas=(item.targets.areas[chosen] * pixel_area).astype(np.float32),
        pixel_size=float(np.sqrt(pixel_area)),
        limits=limits.astype(np.float32),
        is_colour=item.image.ndim == 3,
        modality=item.modality,
    )


def _draw_targets(
    rng: np.random.Generator,
    targets: Targets,
    anchor: int,
    matrix: np.ndarray,
    pixel_area: float,
    config: BoxConfig,
    input_size: int,
) -> np.ndarray:
    """The anchor and random others of those whose centre is in the input and which are large enough there."""
    centres = (targets.boxes[:, :2] + targets.boxes[:, 2:]) / 2
    x, y = matrix[:2, :2] @ centres.T + matrix[:2, 2:]
    in_input = (x > 0) & (x < input_size) & (y > 0) & (y < input_size)
    candidates = in_input & (targets.areas * pixel_area >= config.min_pixels)
    candidates[anchor] = False
    others = rng.permutation(np.flatnonzero(candidates))[: config.per_image - 1]
    return np.append(anchor, others)


def cut_planes(draft: Draft, device: torch.device) -> Tensor:
    """The planes that were cut on the host, as `render` takes them."""
    return torch.from_numpy(stack([sample.source for sample in draft.samples])).to(device)


def render(draft: Draft, planes: Tensor, config: DataConfig) -> Batch:
    """Warp, change intensities, normalise, and take masks and boxes; in batches on the device.

    Args:
        planes: (B, 3 + K, h, w) uint8 on the device: red, green, blue and masks (0..255), in the top left corners.
    """
    samples, device = draft.samples, planes.device
    is_colour = np.array([sample.is_colour for sample in samples])
    images, warped_masks = render_images(
        planes, [sample.source for sample in samples], draft.intensities, is_colour, draft.noise_seed, config
    )

    slots = np.array([(row, slot) for row, sample in enumerate(samples) for slot in range(len(sample.areas))])
    image_index, slot_index = torch.from_numpy(slots).to(device).T
    masks = warped_masks[image_index, slot_index] > 127.5
    expected = np.concatenate([sample.areas for sample in samples])
    found = masks.sum(dim=(1, 2)).cpu().numpy()
    kept = np.flatnonzero((found >= config.boxes.min_pixels) & (found >= config.boxes.min_visible * expected))

    rows = slots[kept, 0]
    kept_device = torch.from_numpy(kept).to(device)
    masks = masks[kept_device]
    errors = BoxErrors(*(getattr(draft.box_errors, f.name)[kept] for f in fields(BoxErrors)))
    pixel_sizes = torch.from_numpy(np.array([sample.pixel_size for sample in samples], np.float32)[rows]).to(device)
    limits = torch.from_numpy(np.stack([sample.limits for sample in samples])[rows]).to(device)
    boxes = with_errors(tight_boxes(masks), errors, pixel_sizes, limits, config.boxes.convention)
    modalities = [sample.modality for sample in samples]
    return Batch(images, masks.float(), boxes, pixel_sizes, image_index[kept_device], modalities)


def render_images(
    planes: Tensor,
    placements: list[Placement],
    intensities: Intensities,
    is_colour: np.ndarray,
    noise_seed: int,
    config: DataConfig,
) -> tuple[Tensor, Tensor]:
    """Warp planes, and change and normalise the intensities of the images on them.

    Args:
        planes: (B, 3 + K, h, w) uint8, see `render`; placements: B.
        is_colour: (B,) bool.

    Returns:
        images (B, 3, S, S) float32 in 0..1, and masks (B, K, S, S) float32 in 0..255.
    """
    grid = sampling_grid(placements, *planes.shape[2:], config.input_size, planes.device)
    warped = warp(planes, grid)
    inside = inside_image(grid, placements, *planes.shape[2:])
    generator = torch.Generator(planes.device).manual_seed(noise_seed)
    images = change_intensities(warped[:, :3] / 255, intensities, is_colour, generator)
    return normalise(images, inside, config.normalise), warped[:, 3:]


def normalise(images: Tensor, inside: Tensor, order: str) -> Tensor:
    """Minimum and maximum of each image to 0 and 1, as the runtime does; padding becomes 0.

    Args:
        images: (B, 3, S, S) float32; inside: (B, 1, S, S) bool, False on padding.
        order: minimum and maximum over the padded image (`after_padding`) or over the image alone (`before_padding`).
    """
    images = images * inside
    high = images.amax(dim=(1, 2, 3), keepdim=True)
    low = (images if order == AFTER_PADDING else images.masked_fill(~inside, torch.inf)).amin(
        dim=(1, 2, 3), keepdim=True
    )
    return (images - low).div_((high - low).clamp_min(SMALLEST_RANGE)).mul_(inside)
