"""Table (c): what the zoom brings and costs in each modality, on validation cases, with the pair that ships."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from training.benchmark.processes import python, run_process
from training.benchmark.tables import Row
from training.benchmark.workplace import Workplace
from training.benchmark.zoom_run import WAYS, ZOOMED

MEAN = "mean over modalities"
SCORES = ("dsc", "nsd")
COLUMNS = ("boxes", "passes", *(f"{way}_{what}" for what in (*SCORES, "ms") for way in WAYS))


def zoom_table(place: Workplace, pair: Path, repeats: int) -> None:
    """Segment the validation cases with and without the zoom; print a table and write it into zoom.csv.

    Raises:
        BenchmarkError: a process failed.
    """
    segs = place.segs / "zoom"
    folders = ["--val", place.val, "--weights", pair, "--segs", segs, "--cache", place.compiled]
    env = {**place.env, "OPENBLAS_NUM_THREADS": "1"}  # as the runtime's command line has it
    run = run_process(python("-m", "training.benchmark.zoom_run", *folders, "--repeats", str(repeats)), env)
    cases = [json.loads(line) for line in run.output.splitlines()]
    place.report("zoom", zoom_rows(cases, {way: scores(place, segs / way) for way in WAYS}))


def scores(place: Workplace, segs: Path) -> dict[str, dict[str, str]]:
    """The rows of `training.evaluate` by case."""
    table = segs.with_suffix(".csv")
    files = ["--segs", segs, "--gts", place.val / "gts", "--csv", table]
    run_process(python("-m", "training.evaluate", *files), place.env)
    with table.open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def zoom_rows(cases: Sequence[dict], scored: dict[str, dict[str, dict[str, str]]]) -> list[Row]:
    """One row per modality, a mean over its cases, and the mean over modalities below; first 2D, then 3D.

    Args:
        cases: what `zoom_run` printed.
        scored: by way and case, the row of `training.evaluate`.
    """
    groups: dict[str, dict[str, list[dict]]] = {}
    for case in cases:
        about = scored[ZOOMED][case["case"]]
        marks = {f"{way}_{score}": float(scored[way][case["case"]][score]) for score in SCORES for way in WAYS}
        groups.setdefault(about["dimensions"], {}).setdefault(about["modality"], []).append({**case, **marks})
    rows: list[Row] = []
    for dimensions, modalities in sorted(groups.items()):
        own = [row(f"{dimensions} {name}", len(group), group) for name, group in sorted(modalities.items())]
        rows += [*own, row(f"{dimensions}, {MEAN}", sum(line["cases"] for line in own), own)]
    return rows


def row(name: str, cases: int, members: Sequence[dict]) -> Row:
    return {
        "modality": name,
        "cases": cases,
        **{column: mean(float(one[column]) for one in members) for column in COLUMNS},
    }
