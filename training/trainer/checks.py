"""What a run needs at its end, looked at before its first step: nothing may be missing when the budget is spent."""

import os
from pathlib import Path

from inference.cases.case import read_case
from inference.cases.npz import read_arrays
from inference.errors import CaseError
from inference.segment.memory import case_budget
from training.scoring.validation import ValidationConfig, validation_cases
from training.trainer.config import TrainConfig


def check_run(config: TrainConfig) -> None:
    """Raise ValueError where the output folder cannot be written, or a validation case cannot be scored."""
    check_writable(Path(config.output))
    if config.validation.root is not None:
        check_validation(config.validation)


def check_writable(folder: Path) -> None:
    """Raise ValueError where nothing can be written into a folder, which need not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{folder}: cannot be written, {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{folder}: cannot be written, {existing} is read-only")


def check_validation(config: ValidationConfig) -> None:
    """Read all that a validation will.

    Raises:
        ValueError: there is no case, or one that cannot be scored; the message names it and says why.
    """
    for path in validation_cases(config):
        try:
            check_case(path, path.parents[1] / "gts" / path.name)
        except CaseError as error:
            raise ValueError(f"{path}: {error}") from error


def check_case(path: Path, gts_path: Path) -> None:
    """Raise CaseError for a case that cannot be read, or whose ground truth is missing, empty or of another shape."""
    if not gts_path.is_file():
        raise CaseError(f"{gts_path} is missing")
    case = read_case(path, case_budget())
    gts = read_arrays(gts_path, ("gts",), case_budget()).get("gts")
    if gts is None:
        raise CaseError(f"{gts_path} holds no array 'gts'")
    shape = case.shape if case.is_volume else case.shape[1:]
    if gts.shape != shape:
        raise CaseError(f"{gts_path} has the shape {gts.shape}, the image {shape}")
    if not gts.any():
        raise CaseError(f"{gts_path} holds no object")
