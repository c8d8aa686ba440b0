"""Command-line arguments of the commands that measure a model on a folder of validation cases."""

import argparse
from pathlib import Path

from training.model.arguments import add_model, add_normalise


def add_measurement(parser: argparse.ArgumentParser, row: str) -> None:
    """Add which cases and which model to measure, and the CSV file. row: what has a row in that."""
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="folder with imgs and gts")
    parser.add_argument("--weights", type=Path, default=Path("weights"), metavar="DIR",
                        help="folder with an ONNX pair, or a checkpoint (default: %(default)s)")  # fmt: skip
    add_model(parser)
    add_normalise(parser)
    parser.add_argument("--csv", type=Path, metavar="FILE", help=f"also write one row per {row} to this file")
    parser.add_argument("--limit", type=int, metavar="N", help="cases per modality (default: all)")
    parser.add_argument("--no-zoom", action="store_true", help="do not magnify small objects, as in the runtime")
