"""Scores a torch model on validation cases, through the runtime's own code for everything but the two networks."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from inference.arrays import Array, Float32Array
from inference.cases.case import read_case
from inference.cases.npz import read_arrays
from inference.errors import CaseError, SetupError
from inference.model.metadata import AFTER_PADDING, BEFORE_PADDING, Metadata
from inference.model.pair import ModelPair
from inference.options import Options
from inference.segment.memory import case_budget, memory_limit
from inference.segment.segment_case import segment_case
from training.model.checkpoint import CheckpointError, load_model
from training.scoring.metrics import case_scores, dice

DESCRIPTION = """\
Score a checkpoint, or an exported ONNX pair, on a folder of validation cases (imgs/*.npz with boxes, gts/*.npz beside
them) and print DSC, and with --nsd NSD, per modality. Everything but the two networks is the runtime's own code, so a
checkpoint's figures are those that its export has.
"""


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
    box_batch: int = 16


class TorchModel:
    """A torch model under the interface of `inference.model.pair.ModelPair`."""

    def __init__(self, model: nn.Module, normalise: str = AFTER_PADDING, device: torch.device | str = "cpu") -> None:
        self.metadata = Metadata(
            model=model.name,
            encoder=model.name,
            input_size=model.input_size,
            logit_size=model.logit_size,
            normalise=normalise,
            box_convention=model.box_convention,
            embeddings=(),
            precision="float32",
            pair="",
        )
        self._model, self._device = model, torch.device(device)
        self.threads = 1  # that call it side by side

    def prepare(self, streams: int) -> None:
        """Nothing to prepare."""

    @torch.inference_mode()
    def encode(self, image: Float32Array) -> list[Array]:
        embeddings = self._model.encode(torch.from_numpy(image).to(self._device))
        return [embedding.float().cpu().numpy() for embedding in embeddings]

    @torch.inference_mode()
    def decode(self, embeddings: list[Array], boxes: Float32Array) -> Float32Array:
        on_device = tuple(torch.from_numpy(embedding).to(self._device) for embedding in embeddings)
        logits, _ = self._model.decode(on_device, torch.from_numpy(boxes).to(self._device), None)
        return logits.float().cpu().numpy()


Runner = ModelPair | TorchModel


def validation_cases(config: ValidationConfig) -> list[Path]:
    """The image files that `config` selects, sorted by name.

    Raises:
        ValueError: there are none.
    """
    folder = Path(config.root) / "imgs"
    paths = sorted(folder.glob("*.npz" if config.volumes else "2DBox_*.npz"))
    if not paths:
        raise ValueError(f"{folder}: holds no validation case")
    chosen: dict[tuple[str, str], list[Path]] = {}
    for path in paths:
        kind, modality = path.name.split("_")[:2]
        chosen.setdefault((kind, modality), []).append(path)
    return sorted(path for group in chosen.values() for path in group[: config.limit])


def validate(
    model: nn.Module, config: ValidationConfig, normalise: str = AFTER_PADDING, nsd: bool = False
) -> pd.DataFrame:
    """`score_cases` of a torch model, which is put in eval mode and left so."""
    model.eval()
    return score_cases(TorchModel(model, normalise, next(model.parameters()).device), config, nsd)


def score_cases(runner: Runner, config: ValidationConfig, nsd: bool = False) -> pd.DataFrame:
    """Segment and score the cases of `config`.

    Returns:
        One row per case: `case`, `modality`, `dimensions` ("2D" or "3D"), `dsc`, and with `nsd`, `nsd` (0..1).

    Raises:
        ValueError: no cases, or one that cannot be read; the message names it.
    """
    options = Options(zoom=config.zoom, box_batch=config.box_batch)
    rows = []
    for path in tqdm(validation_cases(config), desc="validate", disable=None, leave=False):
        gts_path = path.parent.parent / "gts" / path.name
        try:
            case = read_case(path, case_budget())
            truth = read_arrays(gts_path, ("gts", "spacing"), case_budget())
        except CaseError as error:
            raise ValueError(f"{path}: {error}") from error
        if "gts" not in truth:
            raise ValueError(f"{gts_path}: holds no array 'gts'")
        segs, _ = segment_case(case, runner, options, memory_limit())
        spacing = tuple(truth["spacing"]) if "spacing" in truth else None
        scores = case_scores(truth["gts"], segs, spacing) if nsd else (mean_dice(truth["gts"], segs), None)
        kind, modality = path.name.split("_")[:2]
        row = {"case": path.name, "modality": modality, "dimensions": kind[:2], "dsc": scores[0]}
        rows.append(row | ({"nsd": scores[1]} if nsd else {}))
    return pd.DataFrame(rows)


def mean_dice(gts: np.ndarray, segs: np.ndarray) -> float:
    """DSC of a case: the mean over its objects. NSD, which `case_scores` adds, takes many times as long."""
    return float(np.mean([dice(gts == label, segs == label) for label in np.unique(gts[gts > 0])]))


def by_modality(scores: pd.DataFrame, measure: str = "dsc") -> dict[str, float]:
    """Mean of a measure per modality, and `mean`, their mean."""
    means = scores.groupby("modality")[measure].mean()
    return {**means.to_dict(), "mean": float(means.mean())}


def open_runner(weights: Path, model_name: str | None = None, normalise: str = AFTER_PADDING) -> Runner:
    """A checkpoint on torch, on the GPU if there is one, or a folder with an ONNX pair (whose metadata know the rest)
    on OpenVINO."""
    if weights.is_dir():
        return ModelPair(weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TorchModel(load_model(weights, model_name).to(device), normalise, device)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.validate",
        description=DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("weights", type=Path, help="a checkpoint, or a folder with encoder.onnx and decoder.onnx")
    parser.add_argument("--model", default=None, help="model name, where the checkpoint does not say")
    parser.add_argument("--root", default="../shared/data/val", help="folder with imgs and gts")
    parser.add_argument("--normalise", default=AFTER_PADDING, choices=(AFTER_PADDING, BEFORE_PADDING))
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
