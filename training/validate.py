"""Scores a checkpoint or an exported pair on validation cases."""

import argparse
import sys
from pathlib import Path

import pandas as pd
import torch

from inference.errors import SetupError
from training.model.arguments import add_model, add_normalise
from training.model.checkpoint import CheckpointError
from training.scoring.means import by_modality
from training.scoring.validation import ValidationConfig, open_runner, score_cases

DESCRIPTION = """\
Score a checkpoint, or an exported ONNX pair, on a folder of validation cases (imgs/*.npz with boxes, gts/*.npz beside
them) and print DSC, and with --nsd NSD, per modality. Everything but the two networks is the runtime's own code, so a
checkpoint's figures are those that its export has.
"""


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.validate",
        description=DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("weights", type=Path, help="a checkpoint, or a folder with encoder.onnx and decoder.onnx")
    add_model(parser)
    parser.add_argument("--root", default="../shared/data/val", help="folder with imgs and gts")
    add_normalise(parser)
    parser.add_argument("--volumes", action="store_true", help="score 3D cases too")
    parser.add_argument("--zoom", action="store_true", help="the runtime's zoom windows for small objects")
    parser.add_argument("--nsd", action="store_true", help="NSD beside DSC")
    parser.add_argument("--limit", type=int, default=None, help="cases per modality")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    torch.set_num_threads(args.threads)
    try:
        config = ValidationConfig(root=args.root, limit=args.limit, volumes=args.volumes, zoom=args.zoom)
        scores = score_cases(open_runner(args.weights, args.model, args.normalise), config, args.nsd)
    except (CheckpointError, SetupError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for dimensions, group in scores.groupby("dimensions"):
        measures = ["dsc", "nsd"] if args.nsd else ["dsc"]
        table = pd.DataFrame({measure.upper(): by_modality(group, measure) for measure in measures})
        print(f"{dimensions}, {len(group)} cases\n{table.to_string(float_format='{:.3f}'.format)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
