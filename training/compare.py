"""Runs a list of ablations and prints one table of DSC, NSD and time per modality."""

import argparse
import sys
from pathlib import Path

from inference.errors import CaseError, SetupError
from training.model.checkpoint import CheckpointError
from training.scoring.choice import mean_ranks
from training.trainer.comparison import as_text, check_choice, compare, read_comparison, table_of

DESCRIPTION = """\
Run a list of ablations and print one table of DSC, NSD and seconds per case, by modality. The list is a YAML file:

  validation: {root: ../shared/data/val}   # what all of them are scored on
  common: [budget.samples=4000]            # settings of every run
  runs:
    - name: minimum over modalities
      config: training/configs/light.yaml  # trained, or continued, into runs/compare/<list>/<name>
      set: [data.sampling.strategy=min]
    - name: post-training quantization
      weights: runs/ptq                    # not trained: a checkpoint, or a folder with an ONNX pair

training/configs/compare/ has lists for the ablations of the papers. A list that was stopped goes on where it was.

--choose names the best by DSC, NSD and time together, as Yu et al. choose and the challenge ranks: by the mean of its
ranks in all cases and all three measures. For it all entries have to be ONNX pairs, or none, and the machine idle.
"""


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.compare", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="YAML list of runs")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/compare"), help="folder of the runs (default: %(default)s)"
    )
    parser.add_argument("--choose", action="store_true", help="choose one by DSC, NSD and time")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    out = args.out / args.config.stem
    try:
        comparison = read_comparison(args.config)
        if args.choose:
            check_choice(comparison)
        out.mkdir(parents=True, exist_ok=True)
        cases = compare(comparison, out)
    except (CaseError, CheckpointError, SetupError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; start it again to go on from its last checkpoint", file=sys.stderr)
        return 130
    print(as_text(table_of(cases)))
    if args.choose:
        ranks = mean_ranks(cases)
        print(f"\nmean rank of {len(ranks)}\n{ranks.to_string(float_format='{:.2f}'.format)}\nchosen: {ranks.index[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
