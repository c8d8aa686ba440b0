"""Draw every augmentation on a phantom: what each does at the two ends of its range, with the object and its box."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from inference.atomic import write_atomically
from training.data.augmentation import AugmentationConfig, Range
from training.data.batch import Batch, cut_planes, draw_batch, render
from training.data.boxes import BoxConfig
from training.data.config import DataConfig
from training.data.phantoms import Phantom, ct_slice, dermoscopy
from training.data.slices import Slice
from training.data.targets import TargetConfig, find_targets
from training.data.tiles import in_rows, titled

COLUMNS = 8
TILE = 112  # px
OF_COLOURS = ("channel_gain", "grey")
ONE_SIDED = ("blur", "noise")  # their lower ends cannot be seen
EXACT = BoxConfig(per_image=1, pixel_share=0, relative_high=0)


def tiles() -> list[tuple[str, AugmentationConfig, BoxConfig]]:
    """(title, augmentations, box errors) of each tile."""
    ranges = AugmentationConfig()
    off = ranges.only()
    result = [("unchanged", off, EXACT)]
    for name, value in vars(ranges).items():
        if name == "channel_gain":  # the channels' own factors make the colour, and these are drawn
            result.append((name, replace(off, channel_gain=replace(value, probability=1)), EXACT))
        elif isinstance(value, Range):
            ends = (value.high,) if name in ONE_SIDED else (value.low, value.high)
            for end in ends:
                result.append((f"{name} {end:g}", replace(off, **{name: Range(1, end, end)}), EXACT))
        elif name not in ("smallest_context", "largest_zoom"):
            result.append((name, replace(off, **{name: 1.0}), EXACT))
    result.append(("box + 10 px", off, replace(EXACT, pixel_share=1)))
    result.append(("box + 10 %", off, replace(EXACT, relative_low=0.1, relative_high=0.1)))
    result += [(f"all together, {number}", ranges, BoxConfig(per_image=1)) for number in (1, 2, 3, 4)]
    return result


def draw_tile(phantom: Phantom, title: str, augmentations: AugmentationConfig, boxes: BoxConfig) -> np.ndarray:
    """(TITLE + TILE, TILE, 3) uint8, blue first."""
    targets = find_targets(phantom.gts, "demo/demo", TargetConfig())
    largest = int(targets.areas.argsort()[-2:][0])  # the largest but one: the body of the CT phantom says little
    one = replace(
        targets, members=(targets.members[largest],), boxes=targets.boxes[[largest]], areas=targets.areas[[largest]]
    )
    config = DataConfig(root="", input_size=TILE, augmentation=augmentations, boxes=boxes)
    rng = np.random.default_rng(sum(title.encode()))
    draft = draw_batch(rng, [Slice(phantom.imgs, one, "demo/demo")], config)
    batch = render(draft, cut_planes(draft, torch.device("cpu")), config)
    return titled(_outlined(batch), title)


def _outlined(batch: Batch) -> np.ndarray:
    picture = np.ascontiguousarray((batch.images[0].permute(1, 2, 0).numpy()[:, :, ::-1] * 255).astype(np.uint8))
    for mask, box in zip(batch.masks.byte().numpy(), batch.boxes.int().tolist(), strict=True):
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, (0, 220, 0), 1)
        cv2.rectangle(picture, box[:2], (box[2] - 1, box[3] - 1), (0, 160, 255), 1)
    return picture


def draw_gallery() -> np.ndarray:
    """All tiles in rows of `COLUMNS`, uint8 (H, W, 3), blue first."""
    grey, colour = ct_slice(np.random.default_rng(0)), dermoscopy(np.random.default_rng(1))
    drawn = [
        draw_tile(colour if title.split()[0] in OF_COLOURS else grey, title, augmentations, boxes)
        for title, augmentations, boxes in tiles()
    ]
    return in_rows(drawn, COLUMNS)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.gallery", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/augmentation.png"), help="default: %(default)s")
    args = parser.parse_args(argv)
    encoded = cv2.imencode(".png", draw_gallery(), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out, lambda file: file.write(encoded))
    return 0


if __name__ == "__main__":
    sys.exit(main())
