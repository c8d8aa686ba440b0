"""A list of ablations: runs to train and weights to score, and the one table of DSC, NSD and time that comes of
them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from training.data.config import from_mapping
from training.scoring.csv_table import write_csv
from training.scoring.means import by_modality
from training.scoring.validation import ValidationConfig, is_pair, open_runner, score_cases
from training.trainer.checks import check_validation
from training.trainer.config import TrainConfig, read_config
from training.trainer.loop import train
from training.trainer.run import BEST

MEASURES = (("DSC", "dsc", 100, 1), ("NSD", "nsd", 100, 1), ("seconds", "seconds", 1, 3))  # and factor, digits


@dataclass(frozen=True)
class Entry:
    """One line of the table: a run to train (`config` and settings `set`), or finished `weights`."""

    name: str
    config: str | None = None
    set: list[str] = field(default_factory=list)
    weights: str | None = None

    def __post_init__(self) -> None:
        if (self.config is None) == (self.weights is None):
            raise ValueError(f"'{self.name}': give either config or weights")


@dataclass(frozen=True)
class Comparison:
    """A list of entries, what they are scored on and the settings that they share."""

    validation: ValidationConfig
    runs: list[dict[str, Any]]
    common: list[str] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        return [from_mapping(Entry, run, "runs.") for run in self.runs]


def read_comparison(path: Path) -> Comparison:
    """Raises ValueError, naming the file, where the list cannot be used."""
    try:
        comparison = from_mapping(Comparison, yaml.safe_load(path.read_text()))
        names = [entry.name for entry in comparison.entries]
    except (OSError, TypeError, AttributeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: two runs have the same name")
    return comparison


def compare(comparison: Comparison, out: Path) -> pd.DataFrame:
    """Train what is to be trained and score all, with a `table.csv` of what is scored so far in `out`.

    Returns:
        One row per entry and case: `run`, and the columns of `score_cases`, NSD and seconds among them.

    Raises:
        ValueError: an entry or the validation cannot be used; found before anything is trained.
    """
    check_comparison(comparison, out)
    scored = []
    for entry in comparison.entries:
        weights = Path(entry.weights) if entry.weights else train_entry(entry, comparison.common, out)
        scores = score_cases(open_runner(weights), comparison.validation, nsd=True, title=entry.name, timed=True)
        scored.append(scores.assign(run=entry.name))
        write_csv(out / "table.csv", table_of(pd.concat(scored)).to_dict("records"))
    return pd.concat(scored, ignore_index=True)


def table_of(cases: pd.DataFrame) -> pd.DataFrame:
    """One row per entry of what `compare` returns: `run`, and per modality and for their mean, `DSC <modality>` and
    `NSD <modality>`, in per cent, and `seconds <modality>`, the mean time of segmenting a case."""
    rows = []
    for name, scores in cases.groupby("run", sort=False):
        row: dict[str, Any] = {"run": name}
        for title, measure, factor, digits in MEASURES:
            means = by_modality(scores, measure)
            row |= {f"{title} {modality}": round(factor * value, digits) for modality, value in means.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def check_comparison(comparison: Comparison, out: Path) -> None:
    """Raise ValueError where a validation case, an entry's weights or its settings cannot be used."""
    if comparison.validation.root is None:
        raise ValueError("validation.root: a comparison needs cases to score")
    check_validation(comparison.validation)
    for entry in comparison.entries:
        if entry.weights is None:
            config_of(entry, comparison.common, out)
        elif not Path(entry.weights).exists():
            raise ValueError(f"'{entry.name}': {entry.weights} does not exist")


def train_entry(entry: Entry, common: list[str], out: Path) -> Path:
    """Train an entry, from where it was stopped if it was; its best checkpoint."""
    config = config_of(entry, common, out)
    train(config)
    return Path(config.output) / BEST


def config_of(entry: Entry, common: list[str], out: Path) -> TrainConfig:
    return read_config(Path(entry.config), [*common, *entry.set, f"output={out / entry.name}"])


def as_text(table: pd.DataFrame) -> str:
    """One line per modality, three columns (DSC, NSD, seconds) per run."""
    scores = table.set_index("run").T
    scores.index = pd.MultiIndex.from_tuples([tuple(name.split(" ", 1)) for name in scores.index])
    return scores.unstack(0).to_string()


def check_choice(comparison: Comparison) -> None:
    """Raise ValueError where entries run on different engines, whose times say nothing about the models."""
    pairs = {entry.weights is not None and is_pair(Path(entry.weights)) for entry in comparison.entries}
    if len(pairs) > 1:
        raise ValueError("a choice by time too needs all weights as ONNX pairs, or none of them")
