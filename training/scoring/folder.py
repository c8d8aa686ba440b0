"""A folder of segmentations against a folder of ground truths: scores of cases, their means, and the tables of both."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from inference.errors import CaseError, SetupError
from training.scoring.label_maps import read_segs, read_truth
from training.scoring.means import MEAN, MEAN_TITLE, by_modality, modality_of
from training.scoring.metrics import case_ends, case_scores

ALL = "2D and 3D"
MEASURES = ("dsc", "nsd", "ends")

Row = dict[str, str | int | float]


def evaluate_folder(segs: Path, gts: Path, workers: int | None = None) -> pd.DataFrame:
    """Score every ground truth of a folder; a progress bar shows on a terminal.

    Args:
        segs: folder of npz files with `segs`, (H, W) or (D, H, W) labels; a file has the name of its ground truth.
        gts: folder of npz files with `gts` of the same shape and, in 3D, `spacing` (mm, in the order of the axes).
        workers: processes; None for one per available core, 1 to stay in this process.

    Returns:
        One row per ground truth, sorted by name: `case`, `modality`, `dimensions` ("2D" or "3D"; "unknown" where a
        ground truth cannot be read and its name does not say), `objects`, `dsc`, `nsd`, `ends` (0..1; `ends` is NaN in
        2D) and `problem`. A segmentation that is missing, unreadable or of the wrong shape scores 0 and `problem` says
        why. A ground truth that is unusable or holds no object has NaN scores, which no mean counts.

    Raises:
        SetupError: there is no such folder, or no ground truth in it.
    """
    names = sorted(path.name for path in gts.glob("*.npz"))
    if not names:
        raise SetupError(f"{gts}: no ground truths (*.npz) found")
    if not segs.is_dir():
        raise SetupError(f"{segs}: no such folder of segmentations")
    largest_first = sorted(names, key=lambda name: -(gts / name).stat().st_size)
    rows = _map(partial(_score_case, segs, gts), largest_first, workers or len(os.sched_getaffinity(0)))
    rows = tqdm(rows, total=len(names), desc="scoring", unit="case", disable=None)
    return pd.DataFrame(rows).sort_values("case", ignore_index=True)


def _map(function: Callable[[str], Row], names: list[str], workers: int) -> Iterator[Row]:
    if workers == 1:
        yield from map(function, names)
        return
    # Spawned, because a caller may hold threads (torch, OpenVINO) that a forked child would not survive.
    with ProcessPoolExecutor(min(workers, len(names)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, names)


def _score_case(segs: Path, gts: Path, name: str) -> Row:
    row = {"case": name, "modality": modality_of(name), "dimensions": _promised_dimensions(name), "objects": 0}
    unusable = dict.fromkeys(MEASURES, np.nan)
    try:
        gt, spacing = read_truth(gts / name)
    except CaseError as error:
        return row | unusable | {"problem": f"{gts / name}: {error}; not scored"}
    row |= {"dimensions": f"{gt.ndim}D", "objects": len(np.unique(gt[gt > 0]))}
    try:
        seg = read_segs(segs / name)
        if seg.shape != gt.shape:
            raise CaseError(f"'segs' has shape {seg.shape}, the ground truth {gt.shape}")
        dsc, nsd = case_scores(gt, seg, spacing)
        ends = case_ends(gt, seg)
    except CaseError as error:
        worst = {"dsc": 0.0, "nsd": 0.0, "ends": 0.0 if gt.ndim == 3 else np.nan}
        return row | worst | {"problem": f"{segs / name}: {error}; scores 0"}
    except ValueError as error:
        return row | unusable | {"problem": f"{gts / name}: {error}; not scored"}
    return row | {"dsc": dsc, "nsd": nsd, "ends": ends, "problem": ""}


def _promised_dimensions(name: str) -> str:
    """What a file name says of a case whose arrays say nothing."""
    return name[:2] if name.startswith(("2DBox_", "3DBox_")) else "unknown"


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over the cases of each modality, then over modalities; 2D, 3D and both together.

    Args:
        scores: rows of `evaluate_folder`.

    Returns:
        Columns `cases`, `dsc`, `nsd`, `ends`; index (`dimensions`, `modality`), where `dimensions` is "2D", "3D" or
        `ALL` and `modality` is a modality or `MEAN`. `ALL` is there only where there are both; the headline of the
        challenge's tables is ("2D", `MEAN`) or (`ALL`, `MEAN`).
    """
    scopes = dict(list(scores.groupby("dimensions")))
    if {"2D", "3D"} <= scopes.keys():
        scopes[ALL] = scores
    return pd.concat({scope: _means(rows) for scope, rows in scopes.items()}, names=["dimensions", "modality"])


def _means(scores: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({measure: by_modality(scores, measure) for measure in MEASURES})
    table.insert(0, "cases", pd.Series({**Counter(scores["modality"]), MEAN: len(scores)}))
    return table


def report(scores: pd.DataFrame) -> str:
    """Scores per case and their means as text tables; `ends` only where there are volumes."""
    means = summarise(scores).rename(index={MEAN: MEAN_TITLE}).groupby(level="dimensions", sort=False)
    tables = [_as_text(scores[["case", "objects", *MEASURES]], index=False)]
    tables += [f"{scope}\n{_as_text(table.droplevel(0), index_names=False)}" for scope, table in means]
    return "\n\n".join(tables)


def _as_text(table: pd.DataFrame, **layout: bool) -> str:
    shown = table.rename(columns={"dsc": "DSC", "nsd": "NSD"})
    if shown["ends"].isna().all():
        return shown.drop(columns="ends").to_string(float_format="{:.4f}".format, **layout)
    shown["ends"] = ["" if value != value else f"{value:.4f}" for value in shown["ends"]]
    return shown.to_string(float_format="{:.4f}".format, **layout)
