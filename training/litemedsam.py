"""LiteMedSAM, untrained, to the pair that ships: floating point, the stages of quantization, PTQ beside, scores."""

import argparse
import filecmp
import sys
from pathlib import Path

import pandas as pd

from inference.atomic import write_atomically
from inference.errors import CaseError, SetupError
from inference.model.metadata import AFTER_PADDING
from training.configs import CONFIGS
from training.data.loader import open_data
from training.export.pair import export_pair
from training.export.post_training import choice_of, export_calibrated
from training.model.checkpoint import CheckpointError, load_model, split_checkpoint
from training.scoring.validation import ValidationConfig
from training.trainer.checks import check_run, check_writable
from training.trainer.comparison import Comparison, as_text, compare, table_of
from training.trainer.config import read_config
from training.trainer.loop import train
from training.trainer.run import BEST, BEST_HALF
from training.trainer.stage_runs import FAST, check_begun_from, train_stages

DESCRIPTION = """\
Train LiteMedSAM on one GPU: stage 0 in floating point, at first on small images with --teacher beside, stages 1 to 3 of
quantization-aware training distilled from it and, beside them, post-training quantization. Prints DSC and NSD of all
per modality, and copies the int8 pair and the floating-point checkpoint (half precision) into --out, unless the pair
scores below --least-dsc or no better than the one that is there; the exit status is 1 then. Started again, it goes on
where it was stopped; where all is done and shipped, it says so.

  python -m training.litemedsam --minutes 48
  python -m training.litemedsam --minutes 48 data.batch_size=16    # settings of every run, here for 40 GB
"""
STAGE_SHARE = 1 / 8  # of the minutes, for each of the stages 1 to 3; the rest is stage 0's
SMALL_SHARE = 1 / 3  # of stage 0's, on small images, where it learns the most a minute
EXPORTED, SHIPPED = "stage 3 exported", "shipped before"
PAIR = ("encoder.onnx", "decoder.onnx")
NONE = "none"
FLOATING = "float"


def train_all(args: argparse.Namespace) -> Path:
    """Train all stages, as far as they are not trained yet; the best checkpoint of the last.

    Raises:
        CheckpointError, ValueError: a run cannot go on; the message says which and why.
    """
    floating = train_floating(args)
    settings = [minutes(args.minutes * STAGE_SHARE), f"validation.root={args.val}", *args.overrides]
    return train_stages(floating, args.root, args.runs, AFTER_PADDING, settings, FAST)


def train_floating(args: argparse.Namespace) -> Path:
    """Stage 0, on small images and then at the model's own size; its best checkpoint."""
    total, small, whole = args.minutes * (1 - 3 * STAGE_SHARE), args.runs / "small", args.runs / "stage0"
    teacher = "distillation.logits=0" if args.teacher == NONE else f"distillation.teacher={args.teacher}"
    common = [f"data.root={args.root}", f"validation.root={args.val}", *args.overrides]
    of_small = [f"output={small}", minutes(total * SMALL_SHARE), *common, teacher]
    of_whole = [f"output={whole}", minutes(total * (1 - SMALL_SHARE)), f"init={small / BEST}", *common]
    small_run = read_config(CONFIGS / "litemedsam_small.yaml", of_small)
    whole_run = read_config(CONFIGS / "litemedsam.yaml", of_whole)
    check_run(whole_run)  # `train` looks at each run's needs too, but at these only once the small one is done
    data = open_data(small_run.data)
    train(small_run, data=data)
    check_begun_from(whole, small / BEST)
    train(whole_run, data=data)
    return whole / BEST


def quantize_all(args: argparse.Namespace, last: Path) -> dict[str, Path]:
    """Export the last stage, and quantize after training beside it: the checkpoints and folders with a pair that there
    are then, by their names in the table."""
    floating = args.runs / "stage0" / BEST
    export_pair(load_model(last), args.runs / "int8")
    model = load_model(floating)
    export_calibrated(model, args.root, args.runs / "ptq", choice_of(model), args.images)
    split_checkpoint(args.runs / "stage0" / BEST_HALF, args.runs / FLOATING)
    stages = {f"stage {stage}": args.runs / f"stage{stage}" / BEST for stage in (1, 2, 3)}
    return {"float": floating, **stages, EXPORTED: args.runs / "int8", "PTQ": args.runs / "ptq"}


def minutes(count: float) -> str:
    return f"budget.minutes={count}"


def reason_to_keep(scores: pd.Series, least_dsc: float) -> str | None:
    """Why the new pair is not shipped; None if it is.

    Args:
        scores: DSC in per cent by names of the table.
        least_dsc: 0..1.
    """
    if scores[EXPORTED] < 100 * least_dsc:
        return f"its DSC of {scores[EXPORTED]} % is below {100 * least_dsc} %"
    if SHIPPED in scores and scores[EXPORTED] <= scores[SHIPPED]:
        return f"its DSC of {scores[EXPORTED]} % is no better than the {scores[SHIPPED]} % of the pair that is there"
    return None


def results(runs: Path) -> dict[str, Path]:
    """What ships, by its name there: the int8 pair of stage 3 and the floating-point checkpoint in half precision, in
    parts."""
    parts = {f"{FLOATING}/{path.name}": path for path in sorted((runs / FLOATING).glob("*.pt"))}
    return {name: runs / "int8" / name for name in PAIR} | parts


def holds(out: Path, files: dict[str, Path]) -> bool:
    """Whether a folder has these files, byte for byte, under these names."""
    pairs = [(out / name, source) for name, source in files.items()]
    return all(a.exists() and b.exists() and filecmp.cmp(a, b, shallow=False) for a, b in pairs)


def is_shipped(last: Path, runs: Path, out: Path) -> bool:
    """Whether `out` holds all results of the runs, and these were made from the last stage as it is now."""
    return (
        (runs / FLOATING).exists()
        and holds(out, results(runs))
        and all((runs / "int8" / name).stat().st_mtime_ns >= last.stat().st_mtime_ns for name in PAIR)
    )


def ship(runs: Path, out: Path) -> None:
    """Copy the results into `out`."""
    for name, source in results(runs).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        content = source.read_bytes()
        write_atomically(out / name, lambda file, content=content: file.write(content))


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.litemedsam",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def folder(name: str, default: str, text: str) -> None:
        parser.add_argument(name, type=Path, default=default, metavar="DIR", help=f"{text} (default: %(default)s)")

    folder("--root", "datasets/train", "training tree of images, 288 px a side at most")
    folder("--val", "../shared/data/val", "validation cases, imgs and gts")
    folder("--runs", "runs/litemedsam", "checkpoints, logs, pairs and the table")
    folder("--out", "weights/litemedsam", "what ships")
    text = "of training: 5/8 in floating point and 1/8 in each stage (default: %(default)s)"
    parser.add_argument("--minutes", type=float, default=48, help=text)
    text = (
        "checkpoint whose logits are a second target on the small images, or none; its terms then hold for the result"
    )
    parser.add_argument("--teacher", default="weights/light.pt", metavar="FILE", help=f"{text} (default: %(default)s)")
    parser.add_argument("--least-dsc", type=float, default=0.86, help="for shipping, 0..1 (default: %(default)s)")
    parser.add_argument("--images", type=int, default=300, help="calibration images of PTQ (default: %(default)s)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of every run")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        check_writable(args.out)
        last = train_all(args)
        if is_shipped(last, args.runs, args.out):
            print(f"{args.out}: holds what came of {last} already; nothing is left to do")
            return 0
        entries = quantize_all(args, last)
        pair = {name: args.runs / "int8" / name for name in PAIR}
        if all((args.out / name).exists() for name in PAIR) and not holds(args.out, pair):
            entries[SHIPPED] = args.out
        runs = [{"name": name, "weights": str(path)} for name, path in entries.items()]
        table = table_of(compare(Comparison(ValidationConfig(root=str(args.val)), runs), args.runs))
        print(as_text(table))
        reason = reason_to_keep(table.set_index("run")["DSC mean"], args.least_dsc)
        if reason is None:
            ship(args.runs, args.out)
    except (CaseError, CheckpointError, SetupError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; start it again to go on from its last checkpoint", file=sys.stderr)
        return 130
    if reason is not None:
        print(f"{args.runs / 'int8'}: not shipped to {args.out}, {reason}", file=sys.stderr)
        return 1
    print(f"{args.out}: encoder.onnx, decoder.onnx and {FLOATING}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
