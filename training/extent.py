"""Measures how well objects of volumes are found from a box on one slice."""

import argparse
import sys
from collections.abc import Sequence

from inference.errors import EXIT_OK, EXIT_SETUP, SetupError
from training.model.checkpoint import CheckpointError
from training.scoring.arguments import add_measurement
from training.scoring.csv_table import save_scores
from training.scoring.extent import measure, volumes
from training.scoring.extent_tables import report
from training.scoring.validation import open_runner

DESCRIPTION = """\
Measure the runtime's `--extent find` on the volumes of a folder of validation cases (imgs/*.npz with boxes, gts/*.npz
beside them). Every object gets the box that a person would draw on one slice: the middle one of its given box, or the
nearest that holds the object; tight around the object there, each side moved outward by a random 0 to 5 % (the same in
every run). All objects of a case go together. The same case with its boxes as given is what it is compared with.

Printed, per modality: the share of ends found within 2 slices of the true ones, how far off they are, and DSC and NSD
with the extent given and found. The CSV has a row per object; an error above 0 is a mask that goes too far.
"""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.extent",
        description=DESCRIPTION,
        epilog="example: python -m training.extent --root ../shared/data/val --weights weights --csv extent.csv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_measurement(parser, "object")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        runner = open_runner(args.weights, args.model, args.normalise)
        measured = measure(runner, volumes(args.root, args.limit), not args.no_zoom)
    except (CheckpointError, SetupError, ValueError) as error:
        print(error, file=sys.stderr)
        return EXIT_SETUP
    print(report(measured))
    return EXIT_OK if save_scores(args.csv, measured.objects) else EXIT_SETUP


if __name__ == "__main__":
    sys.exit(main())
