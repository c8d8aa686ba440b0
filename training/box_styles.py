"""Measures how much masks depend on how the boxes are drawn."""

import argparse
import sys
from collections.abc import Sequence

from inference.errors import EXIT_OK, EXIT_SETUP, SetupError
from training.model.checkpoint import CheckpointError
from training.scoring.arguments import add_measurement
from training.scoring.box_styles import measure, table
from training.scoring.csv_table import save_scores
from training.scoring.means import MEAN, MEAN_TITLE
from training.scoring.validation import ValidationConfig, open_runner, validation_cases

DESCRIPTION = """\
Measure how much masks depend on how the boxes are drawn, on the 2D cases of a folder of validation cases (imgs/*.npz
with boxes, gts/*.npz beside them). Every case is segmented with the boxes that it has, with tight ones, with ones whose
sides lie 5, 10 and 20 % of the box's width or height further out, and with tight ones shifted by 5 % along both axes
(the same way in every run), all in whole pixels. Printed are DSC and NSD per modality and style; the CSV has a row per
case and style.
"""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.box_styles",
        description=DESCRIPTION,
        epilog="example: python -m training.box_styles --root ../shared/data/val --weights weights --csv styles.csv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_measurement(parser, "case and style")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        runner = open_runner(args.weights, args.model, args.normalise)
        paths = validation_cases(ValidationConfig(root=str(args.root), limit=args.limit))
        rows = measure(runner, paths, not args.no_zoom)
    except (CheckpointError, SetupError, ValueError) as error:
        print(error, file=sys.stderr)
        return EXIT_SETUP
    for measured in ("dsc", "nsd"):
        text = table(rows, measured).rename(index={MEAN: MEAN_TITLE}).to_string(float_format="{:.4f}".format)
        print(f"{measured.upper()}, by how the boxes are drawn\n{text}\n")
    return EXIT_OK if save_scores(args.csv, rows) else EXIT_SETUP


if __name__ == "__main__":
    sys.exit(main())
