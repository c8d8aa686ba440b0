"""Table (c): what the zoom brings and costs in each modality, on validation cases, with the pair that ships."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from training.benchmark.names import WAYS, ZOOMED
from training.benchmark.processes import python, run_process
from training.benchmark.tables import Row
from training.benchmark.workplace import Workplace
from training.scoring.means import MEAN, MEAN_TITLE, by_modality

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
    scopes: dict[str, list[dict]] = {}
    for case in cases:
        about = scored[ZOOMED][case["case"]]
        marks = {f"{way}_{score}": float(scored[way][case["case"]][score] or "nan") for score in SCORES for way in WAYS}
        scopes.setdefault(about["dimensions"], []).append({**case, **marks, "modality": about["modality"]})
    return [row for dimensions, members in sorted(scopes.items()) for row in mean_rows(dimensions, members)]


def mean_rows(dimensions: str, cases: Sequence[dict]) -> list[Row]:
    """The rows of 2D or of 3D. cases: a line each, with its modality and `COLUMNS`."""
    lines = {column: [case[column] for case in cases] for column in ("modality", *COLUMNS)}
    means = {column: by_modality(lines, column) for column in COLUMNS}
    counts = {**Counter(lines["modality"]), MEAN: len(cases)}
    names = {name: f"{dimensions} {name}" for name in sorted(set(lines["modality"]))}
    return [
        {"modality": title, "cases": counts[name], **{column: means[column][name] for column in COLUMNS}}
        for name, title in {**names, MEAN: f"{dimensions}, {MEAN_TITLE}"}.items()
    ]
