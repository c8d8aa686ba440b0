"""The cases of QMedSAM's Table 8 by size and number of objects, built from real validation images.

  python -m training.benchmark.cases --val ../shared/data/val --out FOLDER

prints the file of every case and the number of its box-slices: of pairs of a box and a slice that it lies on.

An image is resampled to the size asked for, its boxes with it. Where it has too few boxes, further ones are inner parts
of those it has; where it has too many, the first are taken. The same command makes the same files. They are real
patients' images: keep them out of the repository.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from inference.atomic import write_atomically
from training.benchmark.case_specs import SPECS, CaseSpec

INNER_PART = 0.8  # of a box's sides, around its middle


def build(spec: CaseSpec, imgs: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Resample one case.

    imgs: (H, W[, 3]) or (D, H, W), uint8. boxes: (N, 4), or (N, 6) in 3D, voxels.
    Returns imgs of the spec's size, uint8, and `spec.count` boxes, float64, inside it.
    """
    if spec.tiles > 1:
        imgs, boxes = tiled(imgs, boxes, spec.tiles)
    axes = 3 if spec.is_volume else 2
    ratio = (np.array(spec.shape) / imgs.shape[:axes])[::-1]  # x, y[, z]
    boxes = enough_boxes(boxes.astype(np.float64), spec.count) * np.tile(ratio, 2)
    if spec.is_volume:  # slice numbers: whole, and inclusive
        boxes[:, [2, 5]] = np.clip(np.rint(boxes[:, [2, 5]]), 0, spec.shape[0] - 1)
    return (resampled_volume if spec.is_volume else resampled_image)(imgs, spec.shape), boxes


def tiled(imgs: np.ndarray, boxes: np.ndarray, tiles: int) -> tuple[np.ndarray, np.ndarray]:
    """The image (H, W[, 3]) repeated `tiles` times along both axes, and the boxes of every copy, copy by copy."""
    height, width = imgs.shape[:2]
    copies = [boxes + [x * width, y * height] * 2 for y in range(tiles) for x in range(tiles)]
    return np.tile(imgs, (tiles, tiles) + (1,) * (imgs.ndim - 2)), np.concatenate(copies)


def enough_boxes(boxes: np.ndarray, count: int) -> np.ndarray:
    """Exactly `count` boxes: the first ones, or all and then their inner parts, and the inner parts of those."""
    rounds = [boxes]
    while sum(map(len, rounds)) < count:
        low, high = np.split(rounds[-1], 2, axis=1)
        middle, half = (low + high) / 2, (high - low) / 2 * INNER_PART
        rounds.append(np.concatenate([middle - half, middle + half], axis=1))
    return np.concatenate(rounds)[:count]


def resampled_image(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_LINEAR)


def resampled_volume(volume: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Linear along all three axes: first within slices, then between them."""
    depth, height, width = shape
    slices = np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) for image in volume])
    lines = slices.reshape(len(slices), -1)
    blocks = [  # OpenCV's images have less than 2^15 columns
        cv2.resize(lines[:, start : start + width], (width, depth), interpolation=cv2.INTER_LINEAR)
        for start in range(0, lines.shape[1], width)
    ]
    return np.stack(blocks, axis=1)


def write_case(spec: CaseSpec, val: Path, out: Path) -> Path:
    """Build the case from `val`/imgs into `out`/<name>/<name>.npz, in a folder of its own, unless it is there."""
    target = out / spec.name / f"{spec.name}.npz"
    if target.exists():
        return target
    with np.load(val / "imgs" / f"{spec.source}.npz", allow_pickle=False) as source:
        imgs, boxes = build(spec, source["imgs"], source["boxes"])
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, lambda file: np.savez_compressed(file, imgs=imgs, boxes=boxes))
    return target


def write_part(whole: Path, units: int) -> Path:
    """Write the same case with less to do, unless it is there: the first `units` box-slices of its first boxes.

    The image stays whole, so that reading it and the size of every mask stay what they are.
    """
    target = whole.with_name(f"{whole.stem}_part_{units}") / whole.name
    if target.exists():
        return target
    with np.load(whole, allow_pickle=False) as case:
        imgs, boxes = case["imgs"], case["boxes"]
    boxes = boxes[:1] if boxes.shape[1] == 6 else boxes[:units]
    if boxes.shape[1] == 6:
        first = (boxes[0, 2] + boxes[0, 5] - units + 1) // 2
        boxes[0, [2, 5]] = first, first + units - 1
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, lambda file: np.savez_compressed(file, imgs=imgs, boxes=boxes))
    return target


def box_slices(path: Path) -> int:
    """Pairs of a box and a slice in a case: what the reference encodes and decodes one by one."""
    with np.load(path, allow_pickle=False) as case:
        boxes = case["boxes"]
    return int((boxes[:, 5] - boxes[:, 2] + 1).sum()) if boxes.shape[1] == 6 else len(boxes)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.cases",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--val", type=Path, required=True, metavar="DIR", help="validation cases: DIR/imgs/*.npz")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="one folder per case is made here")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of the cases to build (default: all)")
    parser.add_argument("--part", type=int, metavar="N", help="of each case a part with N box-slices instead")
    options = parser.parse_args(arguments)
    try:
        for spec in SPECS:
            if not options.only or spec.name in options.only:
                path = write_case(spec, options.val, options.out)
                path = write_part(path, options.part) if options.part else path
                print(path, box_slices(path))
    except (OSError, KeyError, ValueError) as error:
        print(f"error: {spec.name} from {spec.source}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
