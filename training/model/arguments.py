"""Command-line arguments of the commands that start from a checkpoint."""

import argparse

from inference.model.metadata import AFTER_PADDING, BEFORE_PADDING


def add_normalise(parser: argparse.ArgumentParser) -> None:
    """Add `--normalise`, which every command needs that starts from a checkpoint that does not say."""
    parser.add_argument(
        "--normalise",
        choices=[AFTER_PADDING, BEFORE_PADDING],
        default=AFTER_PADDING,
        help="min-max normalisation that the model was trained with: after the padding (QMedSAM, our training) or "
        "before it (LiteMedSAM's public checkpoint) (default: %(default)s)",
    )
