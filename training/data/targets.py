"""What can be asked for in a slice: objects, structures and unions of structures that a box may be drawn around."""

from dataclasses import dataclass, field
from fnmatch import fnmatch

import cv2
import numpy as np
from scipy import ndimage

REFERENCE_SIDE = 256  # minimum sizes are meant at the model's usual input size


@dataclass(frozen=True)
class TargetConfig:
    """Which targets a label map holds.

    min_pixels, min_side: smallest area (px) and smallest box side (px) of a target, in the slice scaled to 256 px.
    dominance: a label whose largest connected component has less than this share of its area is many objects, and each
        component is a target; otherwise the label is one target.
    speck_share: components below this share of a label that is one target are dropped: a stray pixel far away would
        blow up the box.
    unions: labels that together are one more target, by pattern of `Modality/Dataset`.
    """

    min_pixels: float = 16
    min_side: float = 3
    dominance: float = 0.5
    speck_share: float = 0.02
    unions: dict[str, list[list[int]]] = field(
        default_factory=lambda: {
            "Microscopy/wbc_*": [[1, 2]],  # cytoplasm ring and nucleus: the whole cell
            "Fundus/disc_cup*": [[1, 2]],  # rim and cup: the optic disc
        }
    )


@dataclass(frozen=True)
class Targets:
    """The T targets of one slice.

    objects: (H, W) uint8 or uint16, 0 background, one number per object.
    members: for each target the numbers of its objects (several in a union).
    boxes: (T, 4) float32 xyxy, tight, pixel edges (a pixel x covers x..x+1).
    areas: (T,) float32, px.
    """

    objects: np.ndarray
    members: tuple[tuple[int, ...], ...]
    boxes: np.ndarray
    areas: np.ndarray

    def __len__(self) -> int:
        return len(self.members)


def find_targets(labels: np.ndarray, dataset: str, config: TargetConfig) -> Targets:
    """Split a label map into objects and list the targets that are large enough.

    Args:
        labels: (H, W) uint8 or uint16; 0 is background.
        dataset: `Modality/Dataset`, for the table of unions.
    """
    objects = np.zeros(labels.shape, np.uint16)
    boxes: list[tuple[int, int, int, int]] = []  # of object 1, 2, ...
    areas: list[int] = []
    objects_of_label: dict[int, list[int]] = {}
    for label, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        rows, columns = window
        for mask, area in _split(labels[window] == label, config):
            (top, bottom), (left, right) = _extent(mask.any(axis=1)), _extent(mask.any(axis=0))
            boxes.append((columns.start + left, rows.start + top, columns.start + right, rows.start + bottom))
            areas.append(area)
            objects[window][mask] = len(boxes)
            objects_of_label.setdefault(label, []).append(len(boxes))

    members = [(number,) for number in range(1, len(boxes) + 1)] + _unions(objects_of_label, dataset, config)
    targets = Targets(
        objects.astype(np.uint8) if len(boxes) <= 255 else objects,
        tuple(members),
        np.array([_union_box([boxes[i - 1] for i in ids]) for ids in members], np.float32).reshape(-1, 4),
        np.array([sum(areas[i - 1] for i in ids) for ids in members], np.float32),
    )
    return _large_enough(targets, config)


def _split(mask: np.ndarray, config: TargetConfig) -> list[tuple[np.ndarray, int]]:
    """(mask, area) of each object that the pixels of one label make."""
    count, components, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count == 2:
        return [(mask, int(areas[0]))]
    total = int(areas.sum())
    if areas.max() < config.dominance * total:
        return [(components == i + 1, int(area)) for i, area in enumerate(areas)]
    kept = areas >= config.speck_share * total
    return [(np.append(False, kept)[components], int(areas[kept].sum()))]


def _extent(occupied: np.ndarray) -> tuple[int, int]:
    """First index and one past the last index that is set."""
    return int(occupied.argmax()), len(occupied) - int(occupied[::-1].argmax())


def _unions(objects_of_label: dict[int, list[int]], dataset: str, config: TargetConfig) -> list[tuple[int, ...]]:
    groups = [group for pattern, groups in config.unions.items() if fnmatch(dataset, pattern) for group in groups]
    present = [[label for label in group if label in objects_of_label] for group in groups]
    # A union of which one part alone is in the slice would repeat that part's own target.
    return [tuple(i for label in group for i in objects_of_label[label]) for group in present if len(group) > 1]


def _union_box(boxes: list[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _large_enough(targets: Targets, config: TargetConfig) -> Targets:
    scale = REFERENCE_SIDE / max(targets.objects.shape)
    sides = targets.boxes[:, 2:] - targets.boxes[:, :2]
    keep = (targets.areas * scale**2 >= config.min_pixels) & (sides.min(axis=1) * scale >= config.min_side)
    members = tuple(ids for ids, kept in zip(targets.members, keep, strict=True) if kept)
    return Targets(targets.objects, members, targets.boxes[keep], targets.areas[keep])
