"""From clips of volumes and pairs made of stills to what a batch holds of them."""

from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from inference.segment.neighbours import neighbour_maps
from inference.segment.prompts import MARGIN_FOUND
from training.data.augmentation import Intensities, draw_intensities
from training.data.batch import Batch, Clips, render_images
from training.data.boxes import tight_boxes
from training.data.clips import ClipSample
from training.data.config import DataConfig
from training.data.motion import (
    box_of_volume,
    draw_motion,
    motion_grid,
    moved,
    unknown_extent,
    with_noise,
)
from training.data.warp import stack


def with_clips(batch: Batch, rng: np.random.Generator, samples: list[ClipSample], config: DataConfig) -> Batch:
    """A batch of stills, each of them the second slice of a pair too, with clips of volumes, if any, beside them."""
    parts = [still_pairs(rng, batch, config)]
    if samples:
        parts.append(render_clips(rng, samples, config, batch.images.device))
    for images, clips in parts:
        if len(clips.frames) == 0:  # no still has an object that was there on the slice before
            continue
        moved_frames = torch.where(clips.frames < 0, ~clips.frames, clips.frames + len(batch.images))
        clips = replace(clips, frames=moved_frames)
        batch = replace(batch, images=torch.cat([batch.images, images]), clips=(*batch.clips, clips))
    return batch


def render_clips(
    rng: np.random.Generator, samples: list[ClipSample], config: DataConfig, device: torch.device
) -> tuple[Tensor, Clips]:
    """The slices of C clips of T slices, and their objects. All slices of a clip have the same intensities.

    Returns:
        images (C * T, 3, S, S), and clips whose `frames` are positions among them.
    """
    length = samples[0].places.shape[1]
    sources = [source for sample in samples for source in sample.sources]
    intensities = repeated(draw_intensities(rng, [config.augmentation] * len(samples)), length)
    planes = torch.from_numpy(stack(sources)).to(device)
    is_colour = np.zeros(len(sources), bool)
    images, warped = render_images(planes, sources, intensities, is_colour, int(rng.integers(2**31)), config)

    owners = np.array([(row, slot) for row, sample in enumerate(samples) for slot in range(len(sample.boxes))])
    rows, slots = torch.from_numpy(owners).to(device).T[..., None]
    frames = rows * length + torch.arange(length, device=device)
    masks = (warped[frames, slots] > 127.5).float()
    others = {
        name: torch.from_numpy(np.concatenate([getattr(sample, name) for sample in samples])).to(device)
        for name in ("boxes", "places", "neighbours", "told", "boxed")
    }
    return images, Clips(frames, masks, **others)


def repeated(intensities: Intensities, times: int) -> Intensities:
    """The parameters of each image `times` times."""
    values = {entry.name: np.repeat(getattr(intensities, entry.name), times, axis=0) for entry in fields(Intensities)}
    return Intensities(**values)


def still_pairs(rng: np.random.Generator, batch: Batch, config: DataConfig) -> tuple[Tensor, Clips]:
    """The slices before the stills of a batch, by simulated motion, and its objects on both.

    Returns:
        images (B, 3, S, S), and clips of two slices whose `frames` are positions among these and, where they are
        negative, ~position among the images of the batch.
    """
    count, size, device = len(batch.images), config.input_size, batch.images.device
    motion = draw_motion(rng, count)
    owner = batch.image_index
    around = batch.boxes.new_tensor([[0.25 * size, 0.25 * size, 0.75 * size, 0.75 * size]]).repeat(count, 1)
    around[owner.flip(0)] = batch.boxes.flip(0)  # the first box of an image is written last, and stays
    grid = motion_grid(rng, around, motion.zoom, size)
    images = with_noise(rng, moved(batch.images, grid))
    before = moved(batch.masks[:, None], grid[owner])[:, 0] > 0.5

    rows = owner.cpu().numpy()
    places = torch.from_numpy(motion.places[rows]).to(device)
    boxes = box_of_volume(rng, batch.boxes, before, motion.section[rows], size)
    is_there = before.flatten(1).any(dim=1)
    is_found = torch.from_numpy(rng.random(len(rows)) < config.clips.found).to(device) & is_there
    on_start = (tight_boxes(before) + rng.random() * MARGIN_FOUND * size * boxes.new_tensor([-1, -1, 1, 1])).clamp(
        0, size
    )
    told_of_others = torch.from_numpy(rng.random(count) < config.clips.accompanied).to(device)[owner]
    related = (owner[:, None] == owner) & told_of_others
    maps = neighbour_maps(boxes.cpu().numpy(), related.cpu().numpy(), size)
    clips = Clips(
        frames=torch.stack([owner, ~owner], dim=1),
        masks=torch.stack([before.float(), batch.masks], dim=1),
        boxes=torch.where(is_found[:, None], on_start, boxes),
        places=torch.where(is_found[:, None, None], unknown_extent(places), places),
        neighbours=torch.from_numpy(maps).to(device),
        told=torch.from_numpy(rng.random((len(rows), 2)) < 0.5).to(device),
        boxed=torch.from_numpy(rng.random(len(rows)) < config.clips.boxed).to(device),
    )
    kept = torch.nonzero(is_there)[:, 0]
    return images, Clips(**{entry.name: getattr(clips, entry.name)[kept] for entry in fields(Clips)})
