"""Post-training quantization of a floating-point checkpoint: no training, a few hundred calibration images (Yu).

The checkpoint is exported, NNCF quantizes in both graphs the layers that quantization-aware training quantizes too (the
`quantization` of light_stage3.yaml, or litemedsam_stage3.yaml, or of another stage with --config), and the int8 pair
comes out as `python -m training.export` writes it, for the same runtime.

  python -m training.ptq --checkpoint lite_medsam.pth --root ../datasets/train --out runs/ptq
  python -m training.ptq ... --config training/configs/stage3.yaml     # all that the paper quantizes
"""

import argparse
import sys
from pathlib import Path

from inference.errors import CaseError
from training.export.post_training import IMAGES, choice_of, export_calibrated
from training.model.arguments import add_model, add_normalise
from training.model.checkpoint import CheckpointError, load_model


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.ptq", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="floating-point checkpoint")
    parser.add_argument(
        "--root", type=Path, required=True, metavar="DIR", help="training tree <Modality>/<Dataset>/*.npz"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the two files")
    parser.add_argument("--images", type=int, default=IMAGES, help="calibration images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which images these are (default: %(default)s)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="stage whose choice of layers is taken")
    add_model(parser)
    add_normalise(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        model = load_model(options.checkpoint, options.model)
        if hasattr(model, "recipe"):
            raise CheckpointError(f"{options.checkpoint}: is quantized already; give a floating-point checkpoint")
        choice = choice_of(model, options.config)
        calibrated = export_calibrated(
            model, options.root, options.out, choice, options.images, options.normalise, options.seed
        )
    except (CaseError, CheckpointError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: encoder.onnx and decoder.onnx of {model.name}, calibrated on {calibrated} images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
