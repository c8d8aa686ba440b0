"""Scores a folder of segmentations: DSC and NSD per case, per modality and overall, as the challenge does.

A case's scores are means over its objects (`training.scoring.metrics`); a modality's are means over its cases; the
overall ones are means over modalities, so that a modality with many cases weighs no more than another.

The column "ends", of volumes only, is not the challenge's: DSC on the first and the last eighth of the slices that hold
an object in the ground truth, taken together.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from inference.errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_SETUP, SetupError
from training.scoring.csv_table import save_scores
from training.scoring.folder import evaluate_folder, report


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=__doc__,
        epilog="example: python -m training.evaluate --segs demo/segs --gts demo/gts --csv demo/scores.csv\n\n"
        "exit status: 0 all cases scored, 1 a segmentation or ground truth is missing or bad, 3 no such folder",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--segs", type=Path, required=True, help="folder of segmentations: npz with 'segs'")
    parser.add_argument("--gts", type=Path, required=True, help="folder of ground truths: npz with 'gts' ('spacing')")
    parser.add_argument("--csv", type=Path, help="also write one row per case to this file")
    parser.add_argument("--workers", type=int, help="processes (default: one per available core)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _arguments(arguments)
    try:
        scores = evaluate_folder(options.segs, options.gts, options.workers)
    except SetupError as error:
        print(error, file=sys.stderr)
        return EXIT_SETUP
    print(report(scores))
    if not save_scores(options.csv, scores.to_dict("records")):
        return EXIT_SETUP
    problems = [problem for problem in scores["problem"] if problem]
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return EXIT_CASE_FAILED if problems else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
