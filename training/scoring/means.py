"""The mean over modalities, as the challenge takes it: a modality with many cases weighs no more than another.

Imports nothing, as the benchmark's own process must stay small (see `training.benchmark.processes`).
"""

from collections.abc import Iterable, Mapping

MEAN = "mean"  # key of the mean over modalities
MEAN_TITLE = "mean over modalities"  # its name in tables


def modality_of(name: str) -> str:
    """Modality in a file name of the form `2DBox_<Modality>_...`; "unknown" in any other."""
    parts = name.split("_")
    return parts[1] if len(parts) > 2 else "unknown"


def by_modality(scores: Mapping[str, Iterable], measure: str = "dsc") -> dict[str, float]:
    """Mean of a measure over the cases of each modality, by name, and last, as `MEAN`, the mean of these means.

    NaN, the score of a case that cannot be scored, is in no mean.

    Args:
        scores: columns `modality` and the measure, as a data frame has them; one row per case.
    """
    groups: dict[str, list[float]] = {}
    for modality, value in zip(scores["modality"], scores[measure], strict=True):
        groups.setdefault(modality, []).append(value)
    means = {modality: _mean(groups[modality]) for modality in sorted(groups)}
    return {**means, MEAN: _mean(means.values())}


def _mean(values: Iterable[float]) -> float:
    known = [float(value) for value in values if value == value]
    return sum(known) / len(known) if known else float("nan")
