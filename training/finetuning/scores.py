"""Before and after: DSC and NSD of the held-out objects by every contender, and how sure the difference is."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import bootstrap
from tqdm import tqdm

from inference.atomic import write_atomically
from inference.cases.case import read_case
from inference.errors import only_case_errors
from inference.memory_limit import case_budget, memory_limit
from inference.options import Options
from inference.segment.segment_case import segment_case
from training.data.statistics import MOST_CLASSES
from training.finetuning.data import HeldOut
from training.scoring.label_maps import read_segs, read_truth
from training.scoring.means import by_modality, modality_of
from training.scoring.metrics import object_scores
from training.scoring.validation import Runner, ValidationConfig, naming, truth_of, validation_cases

ALL = "all"
MEASURES = ("dsc", "nsd")
CONFIDENCE = 0.95


class Gain(NamedTuple):
    """A mean difference over subjects, and the ends of its confidence interval; NaN where there is one subject."""

    mean: float
    low: float
    high: float


def segment_all(runner: Runner, held_out: Path, out: Path, title: str) -> Path:
    """Segment all held-out cases as the runtime does, into `out`; returns it."""
    out.mkdir(parents=True, exist_ok=True)
    for path in tqdm(validation_cases(ValidationConfig(root=str(held_out), volumes=True)), title, disable=None):
        with naming(path), only_case_errors():
            case = read_case(path, case_budget(memory_limit()))
            segs = segment_case(case, runner, Options(), memory_limit()).segs
        write_atomically(out / path.name, lambda file, segs=segs: np.savez_compressed(file, segs=segs))
    return out


def score_objects(objects: Sequence[HeldOut], held_out: Path, segs: dict[str, Path]) -> pd.DataFrame:
    """One row per object: `case`, `object`, `subject`, `structure`, and for each contender `dsc <name>`, `nsd <name>`.

    Args:
        segs: folder of segmentations by contender.
    """
    names = structures(objects)
    rows = []
    cases = {item.case: held_out / "imgs" / f"{item.case}.npz" for item in objects}
    scores = {}
    for case, path in tqdm(cases.items(), "scoring", disable=None):
        gts, spacing = read_truth(truth_of(path))
        scores[case] = {
            name: object_scores(gts, read_segs(folder / path.name), spacing) for name, folder in segs.items()
        }
    for item, structure in zip(objects, names, strict=True):
        row = {"case": item.case, "object": item.number, "subject": item.subject, "structure": structure}
        for name in segs:
            dsc, nsd = scores[item.case][name][item.number]
            row |= {f"dsc {name}": dsc, f"nsd {name}": nsd}
        rows.append(row)
    return pd.DataFrame(rows)


def structures(objects: Sequence[HeldOut]) -> list[str]:
    """What each object is called: its label, after its data set where there are several; where labels number objects,
    as nuclei, the data set alone."""
    labels: dict[str, set[int]] = {}
    for item in objects:
        labels.setdefault(item.dataset, set()).add(item.label)
    several = len(labels) > 1
    return [
        item.dataset
        if len(labels[item.dataset]) > MOST_CLASSES
        else f"{item.dataset} {item.label}"
        if several
        else f"label {item.label}"
        for item in objects
    ]


def gain(scores: pd.DataFrame, measure: str, before: str, after: str) -> Gain:
    """How much a contender is better than another: the paired difference of each subject's mean, their mean, and its
    bootstrap interval (BCa)."""
    differences = scores[f"{measure} {after}"] - scores[f"{measure} {before}"]
    of_subjects = differences.groupby(scores["subject"]).mean().to_numpy()
    mean = float(of_subjects.mean())
    if len(of_subjects) < 2:
        return Gain(mean, float("nan"), float("nan"))
    if np.ptp(of_subjects) == 0:
        return Gain(mean, mean, mean)
    interval = bootstrap((of_subjects,), np.mean, confidence_level=CONFIDENCE, rng=np.random.default_rng(0))
    return Gain(mean, *map(float, interval.confidence_interval))


def table(scores: pd.DataFrame, measure: str, contenders: Sequence[str], before: str, after: str) -> pd.DataFrame:
    """A row per structure and one for all: number of objects, means over subjects of each contender, and the gain."""
    groups = list(scores.groupby("structure"))
    rows = []
    for structure, group in [*(groups if len(groups) > 1 else []), (ALL, scores)]:
        means = {name: group.groupby("subject")[f"{measure} {name}"].mean().mean() for name in contenders}
        mean, low, high = gain(group, measure, before, after)
        row = {"structure": structure, "objects": len(group)} | {name: f"{value:.3f}" for name, value in means.items()}
        interval = f"{low:+.3f} to {high:+.3f}" if low == low else "one subject"
        rows.append(row | {"gain": f"{mean:+.3f}", "95 % interval": interval})
    return pd.DataFrame(rows)


def largest_changes(scores: pd.DataFrame, before: str, after: str, count: int = 3) -> list[str]:
    """Names of the cases that gained most and of those that lost most, each once."""
    change = (scores[f"dsc {after}"] - scores[f"dsc {before}"]).groupby(scores["case"]).mean().sort_values()
    chosen = [*change.index[::-1][:count], *change.index[:count]]
    return list(dict.fromkeys(chosen))


def mean_by_modality(scores: pd.DataFrame, contender: str) -> dict[str, float]:
    """DSC of the cases by modality, as a run's validation has it."""
    of_cases = scores.groupby("case")[f"dsc {contender}"].mean()
    return by_modality({"modality": map(modality_of, of_cases.index), "dsc": of_cases})
