"""Scores a model on validation cases, through the runtime's own code for everything but the two networks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from inference.cases.case import read_case
from inference.errors import CaseError, only_case_errors
from inference.memory_limit import case_budget, memory_limit
from inference.model.metadata import AFTER_PADDING, ENCODER
from inference.model.pair import ModelPair
from inference.options import Options
from inference.segment.segment_case import segment_case
from training.model.checkpoint import load_model
from training.scoring.label_maps import dimensions_of, read_truth
from training.scoring.means import modality_of
from training.scoring.metrics import case_dice, case_scores
from training.scoring.torch_model import TorchModel

Runner = ModelPair | TorchModel
Row = dict[str, str | float]


@dataclass(frozen=True)
class ValidationConfig:
    """Which cases are scored after an epoch.

    root: folder with `imgs` and `gts`; None switches validation off. every_epochs: how often; limit: at most this many
    cases of each modality (None: all). volumes: 3D cases too. Options of the runtime: `zoom`, `box_batch`.
    """

    root: str | None = None
    every_epochs: int = 1
    limit: int | None = None
    volumes: bool = False
    zoom: bool = False
    box_batch: int = Options.box_batch


def validation_cases(config: ValidationConfig) -> list[Path]:
    """The image files that `config` selects, sorted by name; of each, the header of its ground truth has been read.

    Raises:
        ValueError: there are none, or one has no ground truth.
    """
    folder = Path(config.root) / "imgs"
    chosen: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.glob("*.npz")):
        with naming(truth_of(path)) as truth:
            dimensions = dimensions_of(truth)
        if config.volumes or dimensions == "2D":
            chosen.setdefault((dimensions, modality_of(path.name)), []).append(path)
    if not chosen:
        raise ValueError(f"{folder}: holds no validation case")
    return sorted(path for group in chosen.values() for path in group[: config.limit])


def truth_of(path: Path) -> Path:
    """The ground truth of `<root>/imgs/<name>.npz`."""
    return path.parents[1] / "gts" / path.name


def validate(
    model: nn.Module, config: ValidationConfig, normalise: str = AFTER_PADDING, nsd: bool = False
) -> pd.DataFrame:
    """`score_cases` of a torch model, which is put in eval mode and left so."""
    model.eval()
    return score_cases(TorchModel(model, normalise, next(model.parameters()).device), config, nsd)


def score_cases(
    runner: Runner, config: ValidationConfig, nsd: bool = False, title: str = "validate", timed: bool = False
) -> pd.DataFrame:
    """Segment and score the cases of `config`, under a progress bar with a title.

    Returns:
        One row per case: `case`, `modality`, `dimensions` ("2D" or "3D", by its arrays), `dsc`, and with `nsd`, `nsd`
        (0..1); with `timed`, `seconds` that segmenting it takes, its file read and a pair loaded.

    Raises:
        ValueError: no cases, or one that cannot be read or segmented; the message names it.
    """
    options = Options(zoom=config.zoom, box_batch=config.box_batch)
    paths = tqdm(validation_cases(config), desc=title, unit="case", disable=None, leave=False)
    return pd.DataFrame([_score_case(runner, path, options, nsd, timed) for path in paths])


def _score_case(runner: Runner, path: Path, options: Options, nsd: bool, timed: bool) -> Row:
    with naming(truth_of(path)) as truth:
        gts, spacing = read_truth(truth)
    with naming(path), only_case_errors():
        case = read_case(path, case_budget(memory_limit()))
        if timed and isinstance(runner, ModelPair):
            segment_case(case, runner, options, memory_limit())  # loads what this case needs
        start = time.perf_counter()
        segs, _ = segment_case(case, runner, options, memory_limit())
        seconds = time.perf_counter() - start
    with naming(path):
        dsc, *more = case_scores(gts, segs, spacing) if nsd else (case_dice(gts, segs),)
    row: Row = {"case": path.name, "modality": modality_of(path.name), "dimensions": f"{gts.ndim}D", "dsc": dsc}
    if nsd:
        row["nsd"] = more[0]
    if timed:
        row["seconds"] = seconds
    return row


@contextmanager
def naming(path: Path) -> Iterator[Path]:
    """Turn what is wrong with a file into a ValueError that names it."""
    try:
        yield path
    except (CaseError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def is_pair(weights: Path) -> bool:
    """Whether weights are, or ought to be, a folder with an ONNX pair, and no checkpoint, whole or in parts."""
    return weights.is_dir() and ((weights / ENCODER).exists() or not any(weights.glob("*.pt")))


def open_runner(weights: Path, model_name: str | None = None, normalise: str = AFTER_PADDING) -> Runner:
    """A checkpoint on torch, on the GPU if there is one, or a folder with an ONNX pair (whose metadata know the rest)
    on OpenVINO; a folder without one may be a checkpoint in parts."""
    if is_pair(weights):
        return ModelPair(weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TorchModel(load_model(weights, model_name).to(device), normalise, device)
