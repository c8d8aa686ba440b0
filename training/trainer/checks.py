"""What a run needs at its end, looked at before its first step: nothing may be missing when the budget is spent."""

import os
from pathlib import Path

from tqdm import tqdm

from inference.cases.case import read_case
from inference.memory_limit import case_budget, memory_limit
from training.scoring.label_maps import read_truth
from training.scoring.validation import ValidationConfig, naming, truth_of, validation_cases
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
    for path in tqdm(validation_cases(config), "check validation", unit="case", disable=None, leave=False):
        truth = truth_of(path)
        with naming(truth):
            gts, _ = read_truth(truth)
        with naming(path):
            case = read_case(path, case_budget(memory_limit()))
        shape = case.shape if case.is_volume else case.shape[1:]
        if gts.shape != shape:
            raise ValueError(f"{truth}: has the shape {gts.shape}, the image {shape}")
        if not gts.any():
            raise ValueError(f"{truth}: holds no object")
