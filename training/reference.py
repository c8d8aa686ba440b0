"""The plain, slow pipeline of the LiteMedSAM baseline in torch: the yardstick for the runtime's masks and its time.

Every box of a case is segmented on its own, every slice is encoded again for every box, and every mask is resampled
over the whole frame. Models that hand a state from slice to slice follow an object with it. Nothing here is shared with
`inference/`, so that a mistake cannot hide in both.
"""

import argparse
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from training.model.arguments import add_model
from training.model.checkpoint import CheckpointError, load_model

FLATTEN, PROPAGATE = "flatten", "propagate"
GIVEN, FIND = "given", "find"
LATER, LOGIT, SIZE = "later", "logit", "size"
AFTER_PADDING, BEFORE_PADDING = "after_padding", "before_padding"
PIXEL_EDGES = "xyxy_pixel_edges"
# By how much the box around a mask grows on each side for the next slice, of the image's longest side: without a state;
# and with one, where the box gives the extent, and where it is found.
MARGIN, MARGIN_GIVEN, MARGIN_FOUND = 3 / 256, 12 / 256, 3 / 256
GIVEN_BOX, LAST_MASK = "given box", "last mask"
FOLLOWED_BOX = LAST_MASK  # what prompts an object that is followed with a state, where its extent is given


class Slice(NamedTuple):
    """What is known of an object on a slice.

    logits: (H, W). presence: logit that the object is on it. state: for the next slice.
    """

    logits: np.ndarray
    presence: float
    state: Any

    @property
    def has_mask(self) -> bool:
        return bool((self.logits > 0).any())


@torch.no_grad()
def segment_reference(
    model: nn.Module,
    imgs: np.ndarray,
    boxes: np.ndarray,
    strategy: str = FLATTEN,
    overlap: str = LATER,
    normalise: str = AFTER_PADDING,
    extent: str = GIVEN,
) -> np.ndarray:
    """Segment one case.

    model: in eval mode. imgs: 2D (H, W) or (H, W, 3), 3D (D, H, W) or (D, H, W, 3), values 0..255. boxes: valid boxes
    (N, 4) x_min, y_min, x_max, y_max or (N, 6) x_min, y_min, z_min, x_max, y_max, z_max in voxels, z_max inclusive.
    strategy (3D): `flatten`, the box on each of its slices, or `propagate`, from the middle slice outward, each slice
    prompted by the last mask, and the last state of a model that has one.
    overlap: `later`, the later box has a contested pixel, `logit`, the higher logit, or `size`, the higher logit after
    log2 of the box's area is subtracted.
    normalise: `after_padding` or `before_padding`, as the model was trained.
    extent (3D): `given`, an object reaches from z_min to z_max, or `find`, a box of one slice marks an object that is
    followed up and down until it ends: for `propagate` and a model with a state.
    Returns segs (H, W) or (D, H, W), 0 for background, i for the i-th box; uint8, uint16 above 255 boxes.

    Raises ValueError where extents cannot be found.
    """
    is_volume = boxes.shape[1] == 6
    follow = is_volume and strategy == PROPAGATE and bool(model.state)
    if is_volume and extent == FIND and not follow:
        raise ValueError("extents are found by propagation, with a model that hands a state from slice to slice")
    volume = imgs if is_volume else imgs[None]
    boxes = boxes.astype(np.float64)
    if model.box_convention == PIXEL_EDGES:  # cases give the index of the last pixel
        columns = [3, 4] if is_volume else [2, 3]
        boxes[:, columns] = np.minimum(boxes[:, columns] + 1, volume.shape[2:0:-1])
    segs = np.zeros(volume.shape[:3], np.uint8 if len(boxes) <= 255 else np.uint16)
    best = np.full(segs.shape, -np.inf, np.float32)  # highest score so far; ties go to the earlier box

    for label, box in enumerate(boxes, start=1):
        box_2d = box[[0, 1, 3, 4]] if is_volume else box
        area = max(1, box_2d[2] - box_2d[0]) * max(1, box_2d[3] - box_2d[1])
        z_min, z_max = np.rint(box[[2, 5]]).astype(int) if is_volume else (0, 0)
        if follow:
            to_find = extent == FIND and z_min == z_max
            neighbours = boxes_met(boxes, label - 1, len(volume), extent)
            slices = followed_slices(model, volume, box_2d, neighbours, z_min, z_max, to_find, normalise)
        else:
            slices = logits_of_slices(model, volume, box_2d, z_min, z_max, strategy, normalise)
        for z, logits in slices:
            scores = logits - np.float32(np.log2(area)) if overlap == SIZE else logits
            wins = (logits > 0) & ((scores > best[z]) | (overlap == LATER))
            segs[z][wins] = label
            best[z][wins] = scores[wins]
    return segs if is_volume else segs[0]


def logits_of_slices(
    model: nn.Module, volume: np.ndarray, box: np.ndarray, z_min: int, z_max: int, strategy: str, normalise: str
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (z, logits (H, W)) for each slice that a 3D box covers."""
    if strategy == FLATTEN:
        for z in range(z_min, z_max + 1):
            yield z, full_size_logits(model, volume[z], box, normalise)
        return
    z_mid = (z_min + z_max) // 2
    middle = full_size_logits(model, volume[z_mid], box, normalise)
    yield z_mid, middle
    for outward in (range(z_mid + 1, z_max + 1), range(z_mid - 1, z_min - 1, -1)):
        logits = middle
        for z in outward:
            logits = full_size_logits(model, volume[z], box_around(logits > 0, MARGIN, given=box), normalise)
            yield z, logits


def boxes_met(boxes: np.ndarray, index: int, depth: int, extent: str) -> np.ndarray:
    """The other boxes, as 2D ones (K, 4), whose slices include one of those of box `index`."""

    def slices(box: np.ndarray) -> range:
        first, last = np.rint(box[[2, 5]]).astype(int)
        return range(depth) if extent == FIND and first == last else range(first, last + 1)

    own = set(slices(boxes[index]))
    met = [box[[0, 1, 3, 4]] for other, box in enumerate(boxes) if other != index and own & set(slices(box))]
    return np.array(met).reshape(-1, 4)


def followed_slices(
    model: nn.Module,
    volume: np.ndarray,
    box: np.ndarray,
    neighbours: np.ndarray,
    z_min: int,
    z_max: int,
    to_find: bool,
    normalise: str,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (z, logits (H, W)) for each slice on which a 3D box's object is, followed with the model's state.

    neighbours: (K, 4) boxes of others that it may meet.
    to_find: the box is that of one slice only, from which the object reaches to the slices before those where it is not
    present, or has no mask. On its own slice it is present, whatever the model says.
    """
    z_mid = (z_min + z_max) // 2
    first, last = (0, len(volume) - 1) if to_find else (z_min, z_max)
    maps = neighbour_maps(box, neighbours, *volume.shape[1:3], model.input_size)

    def follow(z: int, prompt: np.ndarray, state: Any) -> Slice:
        to_ends = (-1, -1) if to_find else (z - z_min, z_max - z)
        return follow_slice(model, volume[z], prompt, (*to_ends, abs(z - z_mid)), maps, state, normalise)

    middle = follow(z_mid, box, None)
    if to_find and not middle.has_mask:
        return
    yield z_mid, middle.logits
    for outward in (range(z_mid + 1, last + 1), range(z_mid - 1, first - 1, -1)):
        current = middle
        for z in outward:
            current = follow(z, followed_box(current.logits > 0, box, to_find), current.state)
            if to_find and not (current.presence > 0 and current.has_mask):
                break
            yield z, current.logits


def neighbour_maps(box: np.ndarray, others: np.ndarray, height: int, width: int, input_size: int) -> Tensor:
    """How much of each pixel lies in the boxes of others that overlap a box, of smaller ones and of those not smaller:
    (1, 2, input_size / 4, input_size / 4), pixel by pixel."""
    size, scale = input_size // 4, input_size / max(height, width)
    ratio = [int(side * scale + 0.5) / side / 4 for side in (width, height)] * 2  # as `preprocess` resizes
    maps = np.zeros((1, 2, size, size), np.float32)
    for other in others:
        if not (np.maximum(box[:2], other[:2]) < np.minimum(box[2:], other[2:])).all():
            continue
        is_smaller = np.prod(other[2:] - other[:2]) < np.prod(box[2:] - box[:2])
        drawn = maps[0, 0 if is_smaller else 1]
        x_min, y_min, x_max, y_max = other * ratio
        for y in range(size):
            for x in range(size):
                in_x, in_y = min(x + 1, x_max) - max(x, x_min), min(y + 1, y_max) - max(y, y_min)
                drawn[y, x] = max(drawn[y, x], max(0.0, in_x) * max(0.0, in_y))
    return torch.from_numpy(maps)


def followed_box(mask: np.ndarray, given: np.ndarray, to_find: bool) -> np.ndarray:
    """The box that prompts the slice after one with this mask (H, W)."""
    if to_find:  # the given box holds the object on one slice only
        height, width = mask.shape
        return box_around(mask, MARGIN_FOUND, given=np.array([0, 0, width, height]))
    return box_around(mask, MARGIN_GIVEN, given) if FOLLOWED_BOX == LAST_MASK else given


def follow_slice(
    model: nn.Module,
    image: np.ndarray,
    box: np.ndarray,
    place: tuple[int, ...],
    neighbours: Tensor,
    state: Any,
    normalise: str,
) -> Slice:
    """As `full_size_logits`, of an object that is followed.

    place: slices to its first one, to its last one (-1, where they are to be found), and from the one it started from.
    neighbours: see `neighbour_maps`. state: that the slice before left, None where it starts.
    """
    embeddings, prompt, size = encoded(model, image, box, normalise)
    if state is None:
        state = model.empty_state(1, embeddings[0])
    followed = model.follow(embeddings, prompt, torch.tensor([place], dtype=torch.float32), neighbours, state)
    logits = full_size(followed.low_res_logits[0], model.input_size, size, image)
    return Slice(logits, followed.presence.item(), followed.state)


def full_size_logits(model: nn.Module, image: np.ndarray, box: np.ndarray, normalise: str) -> np.ndarray:
    """One image (H, W[, 3]) and one box in its pixels (4,) to logits (H, W), float32: the whole pipeline."""
    embeddings, prompt, size = encoded(model, image, box, normalise)
    low_res_logits, _ = model.decode(embeddings, prompt)
    return full_size(low_res_logits[0], model.input_size, size, image)


def encoded(
    model: nn.Module, image: np.ndarray, box: np.ndarray, normalise: str
) -> tuple[tuple[Tensor, ...], Tensor, tuple[int, int]]:
    """Embeddings of an image, a box (4,) of it in input pixels (1, 4), and height and width of the input's unpadded
    part."""
    height, width = image.shape[:2]
    square, new_height, new_width = preprocess(image, model.input_size, normalise)
    scale = np.array([new_width / width, new_height / height] * 2)
    prompt = torch.tensor((box * scale)[None], dtype=torch.float32)
    return model.encode(square), prompt, (new_height, new_width)


def full_size(low_res_logits: Tensor, input_size: int, size: tuple[int, int], image: np.ndarray) -> np.ndarray:
    """Logits (L, L) to those of the image's pixels; `size` is that of the input's unpadded part."""
    ratio = low_res_logits.shape[-1] / input_size  # 1, but for ViT-B: 256 x 256 logits of a 1024 x 1024 input
    return resize_content(low_res_logits, size[0] * ratio, size[1] * ratio, *image.shape[:2]).numpy()


def resize_content(logits: Tensor, rows: float, columns: float, height: int, width: int) -> Tensor:
    """The part of logits (L, L) that shows the image, its first `rows` and `columns`, to (height, width): bilinear,
    half-pixel centres. Where these are whole numbers it is what `F.interpolate` does."""
    content = logits[: math.ceil(rows), : math.ceil(columns)]
    y = 2 * (torch.arange(height) + 0.5) * (rows / height) / content.shape[0] - 1
    x = 2 * (torch.arange(width) + 0.5) * (columns / width) / content.shape[1] - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    return F.grid_sample(content[None, None], grid[None], "bilinear", "border", align_corners=False)[0, 0]


def preprocess(image: np.ndarray, size: int, normalise: str) -> tuple[Tensor, int, int]:
    """Image (H, W[, 3]), 0..255, to (1, 3, size, size) in 0..1, and the height and width of its unpadded part."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    new_height, new_width = max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
    colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(colour.astype(np.float32), (new_width, new_height), interpolation=interpolation)

    resized = torch.from_numpy(resized).permute(2, 0, 1)
    padding = (0, size - new_width, 0, size - new_height)
    square = min_max(F.pad(resized, padding)) if normalise == AFTER_PADDING else F.pad(min_max(resized), padding)
    return square[None], new_height, new_width


def min_max(image: Tensor) -> Tensor:
    return (image - image.min()) / (image.max() - image.min()).clamp(min=1e-8)


def box_around(mask: np.ndarray, margin: float, given: np.ndarray) -> np.ndarray:
    """Tight box of a mask (H, W), by pixel edges, grown by the margin (of the longest side) and clipped to the given
    box, which is taken itself where nothing is left: the mask is empty or beside it."""
    if not mask.any():
        return given
    ys, xs = np.nonzero(mask)
    grown = margin * max(mask.shape)
    box = np.array([xs.min() - grown, ys.min() - grown, xs.max() + 1 + grown, ys.max() + 1 + grown])
    box = np.clip(box, given[[0, 1, 0, 1]], given[[2, 3, 2, 3]])
    return box if (box[2:] - box[:2] >= 1).all() else given


def segment_file(model: nn.Module, source: Path, target: Path, **options: str) -> None:
    """Segment one npz case and write its segs, atomically."""
    with np.load(source, allow_pickle=False) as case:
        segs = segment_reference(model, case["imgs"], case["boxes"], **options)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(file, segs=segs)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.reference",
        description="Segment npz cases with the plain torch pipeline: each box on its own, each slice encoded again.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("-i", "--input", type=Path, required=True, metavar="IN", help="npz case, or a folder of them")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the segmentations")
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="FILE", help="checkpoint, a published one or our own"
    )
    add_model(parser)
    parser.add_argument("--strategy", choices=[FLATTEN, PROPAGATE], default=FLATTEN, help="way through a volume")
    parser.add_argument(
        "--extent",
        choices=[GIVEN, FIND],
        default=GIVEN,
        help="objects of volumes reach from z_min to z_max, or boxes of one slice mark those to follow to their ends",
    )
    parser.add_argument(
        "--overlap", choices=[LATER, LOGIT, SIZE], default=LATER, help="which box has a contested pixel"
    )
    parser.add_argument(
        "--normalise",
        choices=[AFTER_PADDING, BEFORE_PADDING],
        default=AFTER_PADDING,
        help="min-max normalisation that the model was trained with",
    )
    parser.add_argument("--threads", type=int, default=0, help="torch threads, 0 for all cores")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        model = load_model(options.checkpoint, options.model)
    except CheckpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    sources = sorted(options.input.glob("*.npz")) if options.input.is_dir() else [options.input]
    if not sources:
        print(f"error: {options.input}: no npz cases in it", file=sys.stderr)
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    how = {name: getattr(options, name) for name in ("strategy", "extent", "overlap", "normalise")}
    failed = 0
    for source in tqdm(sources, unit="case", disable=None):
        try:
            segment_file(model, source, options.output / source.name, **how)
        except (OSError, ValueError, KeyError, IndexError) as error:
            failed += 1
            print(f"error: {source}: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
