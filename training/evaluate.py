"""Scores a folder of segmentations: DSC and NSD per case, per modality and overall, as the challenge does.

A case's scores are means over its objects (`training.scoring.metrics`); a modality's are means over its cases; the
overall ones are means over modalities, so that a modality with many cases weighs no more than another.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from inference.cases.npz import read_arrays
from inference.errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_SETUP, CaseError, SetupError
from inference.segment.memory import case_budget
from training.scoring.csv_table import write_csv
from training.scoring.metrics import case_scores

MEAN = "mean over modalities"
ALL = "2D and 3D"

Row = dict[str, str | int | float]


def modality_of(name: str) -> str:
    """Modality in a file name of the form `2DBox_<Modality>_...`; "unknown" in any other."""
    parts = name.split("_")
    return parts[1] if len(parts) > 2 else "unknown"


def evaluate_folder(segs: Path, gts: Path, workers: int | None = None) -> pd.DataFrame:
    """Score every ground truth of a folder; a progress bar shows on a terminal.

    Args:
        segs: folder of npz files with `segs`, (H, W) or (D, H, W) labels; a file has the name of its ground truth.
        gts: folder of npz files with `gts` of the same shape and, in 3D, `spacing` (mm, in the order of the axes).
        workers: processes; None for one per available core, 1 to stay in this process.

    Returns:
        One row per ground truth, sorted by name: `case`, `modality`, `dimensions` ("2D" or "3D"), `objects`, `dsc`,
        `nsd` (0..1) and `problem`. A segmentation that is missing, unreadable or of the wrong shape scores 0 and
        `problem` says why. A ground truth that is unusable or holds no object has NaN scores, which no mean counts.

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
    row = {"case": name, "modality": modality_of(name), "dimensions": name[:2], "objects": 0}
    unusable = {"dsc": np.nan, "nsd": np.nan}
    try:
        arrays = read_arrays(gts / name, ("gts", "spacing"), case_budget())
        gt = _labels(arrays, "gts")
    except CaseError as error:
        return row | unusable | {"problem": f"{gts / name}: {error}; not scored"}
    row |= {"dimensions": f"{gt.ndim}D", "objects": len(np.unique(gt[gt > 0]))}
    try:
        seg = _labels(read_arrays(segs / name, ("segs",), case_budget()), "segs")
        if seg.shape != gt.shape:
            raise CaseError(f"'segs' has shape {seg.shape}, the ground truth {gt.shape}")
        dsc, nsd = case_scores(gt, seg, arrays.get("spacing"))
    except CaseError as error:
        return row | {"dsc": 0.0, "nsd": 0.0, "problem": f"{segs / name}: {error}; scores 0"}
    except ValueError as error:
        return row | unusable | {"problem": f"{gts / name}: {error}; not scored"}
    return row | {"dsc": dsc, "nsd": nsd, "problem": ""}


def _labels(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise CaseError(f"array '{name}' is missing")
    labels = arrays[name]
    if labels.dtype.kind == "b":
        return labels.view(np.uint8)
    if labels.dtype.kind not in "ui":
        raise CaseError(f"'{name}' has type {labels.dtype}, not integer labels")
    return labels


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over the cases of each modality, then over modalities; 2D, 3D and both together.

    Args:
        scores: rows of `evaluate_folder`.

    Returns:
        Columns `cases`, `dsc`, `nsd`; index (`dimensions`, `modality`), where `dimensions` is "2D", "3D" or `ALL` and
        `modality` is a modality or `MEAN`. `ALL` is there only where there are both; the headline of the challenge's
        tables is ("2D", `MEAN`) or (`ALL`, `MEAN`).
    """
    scopes = dict(list(scores.groupby("dimensions")))
    if len(scopes) > 1:
        scopes[ALL] = scores
    return pd.concat({scope: _by_modality(rows) for scope, rows in scopes.items()}, names=["dimensions", "modality"])


def _by_modality(scores: pd.DataFrame) -> pd.DataFrame:
    groups = scores.groupby("modality")
    table = groups[["dsc", "nsd"]].mean()
    table.insert(0, "cases", groups.size())
    table.loc[MEAN] = [table["cases"].sum(), table["dsc"].mean(), table["nsd"].mean()]
    return table.astype({"cases": int})


def report(scores: pd.DataFrame) -> str:
    """Scores per case and their means as text tables."""
    upper = {"dsc": "DSC", "nsd": "NSD"}
    cases = scores[["case", "objects", "dsc", "nsd"]].rename(columns=upper)
    means = summarise(scores).rename(columns=upper).groupby(level="dimensions", sort=False)
    tables = [cases.to_string(index=False, float_format="{:.4f}".format)]
    for scope, table in means:
        tables.append(f"{scope}\n{table.droplevel(0).to_string(float_format='{:.4f}'.format, index_names=False)}")
    return "\n\n".join(tables)


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
    try:
        if options.csv:
            write_csv(options.csv, scores.to_dict("records"), floats=".6f")
    except OSError as error:
        print(f"{options.csv}: cannot be written ({error.strerror})", file=sys.stderr)
        return EXIT_SETUP
    problems = [problem for problem in scores["problem"] if problem]
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return EXIT_CASE_FAILED if problems else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
