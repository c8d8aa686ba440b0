"""Untrained weights for the benchmark: run time does not depend on what a model has learned.

  python -m training.benchmark.weights --model litemedsam --val ../shared/data/val --out FOLDER

writes FOLDER/checkpoint.pt for the reference, FOLDER/float32 and FOLDER/int8 for the runtime. The int8 pair's scales
come from a few validation images and no training; its graph is that of a pair from quantization-aware training by
training/configs/litemedsam_stage*.yaml.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from inference.model.metadata import AFTER_PADDING
from inference.segment.preprocess import Geometry, encoder_input
from training.configs import CONFIGS
from training.data.batch import Batch
from training.export.pair import export_pair
from training.model import build_model
from training.model.checkpoint import save_checkpoint
from training.model.untrained import fill_randomly
from training.quantization import calibrate, quantize
from training.scoring.means import modality_of
from training.trainer.config import read_config

CHECKPOINT, FLOAT_PAIR, INT8_PAIR = "checkpoint.pt", "float32", "int8"
MODELS = ("litemedsam", "medsam_vit_b")
STAGE = "litemedsam_stage2.yaml"  # what is quantized in the end; MedSAM ViT-B has the same mask decoder
CALIBRATION_IMAGES = 4
CALIBRATION_BOXES = 4  # of each image
SEED = 1


def make_weights(name: str, val: Path, out: Path) -> None:
    """Write whatever of checkpoint, float32 pair and int8 pair is not there yet."""
    model = build_model(name).eval()
    fill_randomly(model, SEED)
    if not (out / CHECKPOINT).exists():
        save_checkpoint(out / CHECKPOINT, model)
    if not (out / FLOAT_PAIR / "decoder.onnx").exists():
        export_pair(model, out / FLOAT_PAIR)
    if not (out / INT8_PAIR / "decoder.onnx").exists():
        quantized = quantize(model, read_config(CONFIGS / STAGE, [f"init={out / CHECKPOINT}"]).quantization)
        calibrate(quantized, calibration_batches(sorted((val / "imgs").glob("2DBox_*.npz")), model.input_size))
        export_pair(quantized, out / INT8_PAIR)


def calibration_batches(paths: Sequence[Path], input_size: int) -> list[Batch]:
    """One batch per image, of images spread evenly over `paths`, with some boxes of each."""
    batches = []
    for path in paths[:: max(1, len(paths) // CALIBRATION_IMAGES)][:CALIBRATION_IMAGES]:
        with np.load(path, allow_pickle=False) as case:
            image, boxes = case["imgs"], case["boxes"][:CALIBRATION_BOXES]
        geometry = Geometry(*image.shape[:2], input_size)
        batches.append(
            Batch(
                images=torch.from_numpy(encoder_input(image, geometry, AFTER_PADDING)),
                masks=torch.empty(len(boxes), 0, 0),
                boxes=torch.from_numpy(geometry.boxes_to_input(boxes)),
                pixel_sizes=torch.ones(len(boxes)),
                image_index=torch.zeros(len(boxes), dtype=torch.int64),
                modalities=[modality_of(path.name)],
            )
        )
    return batches


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="(default: %(default)s)")
    parser.add_argument("--val", type=Path, required=True, metavar="DIR", help="calibration images: DIR/imgs/2D*.npz")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the weights")
    options = parser.parse_args(arguments)
    try:
        make_weights(options.model, options.val, options.out)
    except (OSError, ValueError) as error:
        print(f"error: {options.out}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
