"""Command-line arguments of the commands that start from a checkpoint."""

import argparse

from inference.model.metadata import AFTER_PADDING, BEFORE_PADDING
from training.model import MODELS
from training.model.checkpoint import DEFAULT_MODEL


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add `--model`, for checkpoints that do not say which model they hold."""
    parser.add_argument(
        "--model", choices=list(MODELS), help=f"model (default: the checkpoint's own, else {DEFAULT_MODEL})"
    )


def add_normalise(parser: argparse.ArgumentParser) -> None:
    """Add `--normalise`, which every command needs that starts from a checkpoint that does not say."""
    parser.add_argument(
        "--normalise",
        choices=[AFTER_PADDING, BEFORE_PADDING],
        default=AFTER_PADDING,
        help="min-max normalisation that the model was trained with: after the padding (QMedSAM, our training) or "
        "before it (LiteMedSAM's public checkpoint) (default: %(default)s)",
    )
