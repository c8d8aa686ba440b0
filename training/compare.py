"""Runs a list of ablations and prints one table of DSC and NSD per modality."""

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from inference.errors import SetupError
from training.data.config import from_mapping
from training.model.checkpoint import CheckpointError
from training.trainer.config import read_config
from training.trainer.log import write_csv
from training.trainer.loop import train
from training.trainer.run import BEST
from training.validate import ValidationConfig, by_modality, open_runner, score_cases

DESCRIPTION = """\
Run a list of ablations and print one table of DSC and NSD per modality. The list is a YAML file:

  validation: {root: ../shared/data/val}   # what all of them are scored on
  common: [budget.samples=4000]            # settings of every run
  runs:
    - name: minimum over modalities
      config: training/configs/light.yaml  # trained, or continued, into runs/compare/<list>/<name>
      set: [data.sampling.strategy=min]
    - name: post-training quantization
      weights: runs/ptq                    # not trained: a checkpoint, or a folder with an ONNX pair

training/configs/compare/ has lists for the ablations of the papers. A list that was stopped goes on where it was.
"""


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
    """Train what is to be trained and score all.

    Returns:
        One row per entry: `run`, and per modality and for their mean, `DSC <modality>` and `NSD <modality>`, in per
        cent.
    """
    rows = []
    for entry in comparison.entries:
        weights = Path(entry.weights) if entry.weights else train_entry(entry, comparison.common, out / entry.name)
        scores = score_cases(open_runner(weights), comparison.validation, nsd=True)
        row: dict[str, Any] = {"run": entry.name}
        for measure in ("dsc", "nsd"):
            means = by_modality(scores, measure)
            row |= {f"{measure.upper()} {name}": round(100 * value, 1) for name, value in means.items()}
        rows.append(row)
        write_csv(out / "table.csv", rows)
    return pd.DataFrame(rows)


def train_entry(entry: Entry, common: list[str], folder: Path) -> Path:
    """Train an entry, from where it was stopped if it was; its best checkpoint."""
    train(read_config(Path(entry.config), [*common, *entry.set, f"output={folder}"]))
    return folder / BEST


def as_text(table: pd.DataFrame) -> str:
    """One line per modality, two columns (DSC, NSD) per run."""
    scores = table.set_index("run").T
    scores.index = pd.MultiIndex.from_tuples([tuple(name.split(" ", 1)) for name in scores.index])
    return scores.unstack(0).to_string()


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.compare", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="YAML list of runs")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/compare"), help="folder of the runs (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    out = args.out / args.config.stem
    try:
        comparison = read_comparison(args.config)
        out.mkdir(parents=True, exist_ok=True)
        table = compare(comparison, out)
    except (CheckpointError, SetupError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(as_text(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
