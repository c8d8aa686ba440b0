"""Runs a list of ablations and prints one table of DSC and NSD per modality."""

import argparse
import sys
from pathlib import Path

from inference.errors import CaseError, SetupError
from training.model.checkpoint import CheckpointError
from training.trainer.comparison import as_text, compare, read_comparison

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
    except (CaseError, CheckpointError, SetupError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; start it again to go on from its last checkpoint", file=sys.stderr)
        return 130
    print(as_text(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
