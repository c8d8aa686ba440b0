"""Clips: a few slices of an object, in the order in which the runtime visits them, from its start slice outward."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from inference.segment.extent import UNKNOWN, meet
from inference.segment.neighbours import neighbour_maps
from training.data.augmentation import AugmentationConfig, draw_geometry
from training.data.crops import crop_matrix, draw_crop, keep_in_input
from training.data.index import VolumeIndex
from training.data.labelled_case import LabelledCase
from training.data.objects import VolumeObject, slices_with
from training.data.sampling import SamplingConfig, sample_weights
from training.data.warp import SourceCrop, cut_source

START_SPREAD = 0.4  # of half an object's length: how far from the middle other start slices lie (standard deviation)

ReadCase = Callable[[int], LabelledCase]  # by file number


@dataclass(frozen=True)
class ClipConfig:
    """Clips of volumes, and pairs made of stills, beside the images of a batch.

    per_batch: clips per batch and process; 0 for none, and no pairs either, unless `pairs` asks for these alone.
    length: slices of a clip: the start slice, one anywhere between it and an end of the object, and the next ones
        outward from there.
    objects: at most this many objects on one clip.
    middle: share of the clips that start on the object's middle slice, as the runtime does where a box has an extent.
    found: share of objects whose extent is not told: their box is that of the start slice, and clips run past the end.
    at_end: share of the clips that end on the object's last slice in their direction.
    stride: probability that a clip takes every second slice.
    told: share of slices after which the true mask is handed on in place of what was decoded.
    accompanied: share of clips whose objects are told where the boxes of all other objects lie.
    boxed: share of objects whose box on later slices is one around the last mask, in place of the given one.
    box_low, box_high: sides of boxes move outward by a part of the box's width or height up to a number in between.
    crop, largest_zoom: as in `AugmentationConfig`; the runtime magnifies volumes less often than images.
    modality_weights: share of the clips by modality; one not named weighs 1.
    """

    per_batch: int = 0
    pairs: bool = False
    length: int = 5
    objects: int = 2
    middle: float = 0.7
    found: float = 0.25
    at_end: float = 0.3
    stride: float = 0.25
    told: float = 0.2
    accompanied: float = 0.6
    boxed: float = 0.5
    box_low: float = 0.05
    box_high: float = 0.1
    crop: float = 0.4
    largest_zoom: float = 4.0
    modality_weights: dict[str, float] = field(default_factory=dict)

    @property
    def is_on(self) -> bool:
        """Whether batches hold anything to follow."""
        return self.pairs or self.per_batch > 0

    def __post_init__(self) -> None:
        if self.per_batch < 0 or self.length < 2 or self.objects < 1:
            raise ValueError(
                "clips: per_batch of at least 0, length of at least 2 and objects of at least 1 are needed"
            )


@dataclass(frozen=True)
class ClipSample:
    """A clip of T slices with K objects, augmented but not rendered.

    sources: T crops with K masks each. boxes: (K, 4) float32 xyxy in input px. neighbours: (K, 2, S/4, S/4) float32,
    see `inference.segment.neighbours`. places: (K, T, 3) float32, slices to the object's first and last one and from
    the start slice. told: (K, T) bool and boxed: (K,) bool, see `ClipConfig`.
    """

    sources: list[SourceCrop]
    boxes: np.ndarray
    neighbours: np.ndarray
    places: np.ndarray
    told: np.ndarray
    boxed: np.ndarray


class ClipSource:
    """Draws clips from the volumes of an index, in equal parts by modality unless told otherwise, and within one by
    the rules for samples (`SamplingConfig`): with `dataset_exponent` 0.5 the objects of small data sets come more
    often than their share."""

    def __init__(self, index: VolumeIndex, read: ReadCase, config: ClipConfig, sampling: SamplingConfig) -> None:
        """
        Raises:
            ValueError: no volume holds an object that could be followed.
        """
        self._index, self._read, self._config = index, read, config
        names = sorted({index.dataset_of_file(number) for number in np.unique(index.object_files)})
        datasets = np.array([names.index(index.dataset_of_file(number)) for number in index.object_files], np.int32)
        weights = sample_weights(names, datasets, sampling)
        modalities = np.array([name.split("/", 1)[0] for name in names])[datasets] if names else np.empty(0, str)
        for modality in np.unique(modalities):
            of_modality = modalities == modality
            total = weights[of_modality].sum()
            share = config.modality_weights.get(str(modality), 1.0)
            weights[of_modality] *= share / total if total else 0.0
        if not weights.sum():
            raise ValueError(f"{index.root}: no volume holds an object to follow (data.clips, data.sampling)")
        self._chances = weights / weights.sum()

    def draw(self, rng: np.random.Generator, augmentation: AugmentationConfig, input_size: int) -> ClipSample:
        """A random clip."""
        file, chosen = self._index.object(int(rng.choice(len(self._chances), p=self._chances)))
        case = self._read(file)
        in_file = np.flatnonzero(self._index.object_files == file)
        others = [VolumeObject(*self._index.objects[number].tolist()) for number in in_file]
        return draw_clip(rng, case, chosen, others, self._config, augmentation, input_size)


def draw_clip(
    rng: np.random.Generator,
    case: LabelledCase,
    chosen: VolumeObject,
    others: list[VolumeObject],
    config: ClipConfig,
    augmentation: AugmentationConfig,
    input_size: int,
) -> ClipSample:
    """A clip around `chosen`, with those of the `others` that are on all of its slices."""
    is_found = rng.random() < config.found
    slices = draw_slices(rng, case.gts, chosen, is_found, config)
    low, high = min(slices), max(slices)
    others = [other for other in others if other != chosen]
    company = [other for other in others if other.first <= low and high <= other.last]
    company = [other for other in company if (case.gts[slices[0]] == other.label).any()]
    objects = [chosen, *(company[i] for i in rng.permutation(len(company))[: config.objects - 1])]
    is_accompanied = rng.random() < config.accompanied
    others = [other for other in others if is_accompanied and other not in objects]

    hulls = [convex_hull(shown(case.gts, item, slices[0] if is_found else None)) for item in objects]
    hulls += [convex_hull(shown(case.gts, item, None)) for item in others]
    box = np.concatenate([hulls[0].min(axis=0), hulls[0].max(axis=0)])
    augmentation = replace(augmentation, crop=config.crop, largest_zoom=config.largest_zoom)
    height, width = case.gts.shape[1:]
    crop = draw_crop(rng, height, width, box, augmentation)
    matrix, content_width, content_height = crop_matrix(crop, input_size)
    matrix = draw_geometry(rng, augmentation, content_width, content_height, input_size) @ matrix
    matrix = keep_in_input(matrix, box, input_size)

    members = [(item.label,) for item in objects]
    sources = [cut_source(case.imgs[z], case.gts[z], members, matrix, input_size) for z in slices]
    boxes = np.array([loose_box(rng, hull @ matrix[:2, :2].T + matrix[:2, 2], config) for hull in hulls], np.float32)
    boxes = np.clip(boxes, 0, input_size)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    places = np.array([[place(z, item, slices[0], is_found) for z in slices] for item in objects], np.float32)
    told = rng.random(places.shape[:2]) < config.told
    boxed = rng.random(len(objects)) < config.boxed
    first, last = np.array([(item.first, item.last) for item in (*objects, *others)]).T
    maps = neighbour_maps(boxes, meet(first, last) & is_accompanied, input_size)[: len(objects)]
    return ClipSample(sources, boxes[: len(objects)], maps, places, told, boxed)


def draw_slices(
    rng: np.random.Generator, gts: np.ndarray, item: VolumeObject, is_found: bool, config: ClipConfig
) -> list[int]:
    """Slice numbers of a clip. Clips past an end that is known repeat the last slice."""
    spread, middle, side, at_end, near, stride, jump = rng.normal(), *rng.random(6)
    start = item.middle
    if is_found or middle >= config.middle:
        start += round(spread * START_SPREAD * (item.last - item.first) / 2)
    holding = slices_with(gts[item.first : item.last + 1], item.label) + item.first
    start = int(holding[np.abs(holding - start).argmin()])

    direction = 1 if side < 0.5 else -1
    room = max(1, (item.last - start) if direction > 0 else (start - item.first))
    step = 2 if stride < config.stride else 1
    outward = step * (config.length - 2)  # from the second slice to the last
    anywhere = 1 if near < 1 / 3 else 1 + int(jump * room)
    first_step = max(1, room - outward) if at_end < config.at_end else anywhere
    slices = [start, *(start + direction * (first_step + step * i) for i in range(config.length - 1))]
    low, high = (0, len(gts) - 1) if is_found else (item.first, item.last)
    return [min(max(z, low), high) for z in slices]


def shown(gts: np.ndarray, item: VolumeObject, z: int | None) -> np.ndarray:
    """(H, W) bool: the object on one slice, or on any of them."""
    if z is not None:
        return gts[z] == item.label
    return (gts[item.first : item.last + 1] == item.label).any(axis=0)


def convex_hull(mask: np.ndarray) -> np.ndarray:
    """Corners of a mask's convex hull, (P, 2) x, y at pixel edges: enough for its box under any affine mapping."""
    rows, columns = np.nonzero(mask)
    corners = [np.stack([columns + dx, rows + dy], axis=1) for dx in (0, 1) for dy in (0, 1)]
    return cv2.convexHull(np.concatenate(corners).astype(np.float32))[:, 0]


def loose_box(rng: np.random.Generator, corners: np.ndarray, config: ClipConfig) -> np.ndarray:
    """Box (4,) of points (P, 2), its sides moved outward as a person would draw it."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    most = config.box_low if rng.random() < 2 / 3 else config.box_high
    outward = rng.random(4) * most * np.tile(high - low, 2)
    return np.concatenate([low - outward[:2], high + outward[2:]])


def place(z: int, item: VolumeObject, start: int, is_found: bool) -> tuple[int, int, int]:
    """Where a slice lies in its object, as the model takes it."""
    ends = (UNKNOWN, UNKNOWN) if is_found else (z - item.first, item.last - z)
    return (*ends, abs(z - start))
