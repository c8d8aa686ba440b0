"""Fine-tunes a model on a person's own images or volumes, from a folder with label maps to weights for the runtime."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from inference.errors import CaseError, SetupError
from inference.options import CT_WINDOW, Window
from training.data.labelled_files import WAYS
from training.finetuning.data import Source
from training.finetuning.held_out import split
from training.finetuning.procedures import PROCEDURES
from training.finetuning.task import Task
from training.finetuning.tune import learn, make_result, procedure_of, run_config
from training.finetuning.workplace import Workplace, check_place, ship
from training.model.arguments import add_normalise
from training.model.checkpoint import CheckpointError
from training.trainer.stage_runs import FAST, PAPER

DESCRIPTION = f"""\
Fine-tune a model on your own images or volumes, of which DATA is a folder with label maps ({WAYS}):
prepare them, hold a fifth of the subjects out, learn from the others, bring the result to 8 bits, and score before and
after on those held out. --out gets the ONNX files for `python -m inference --weights`, the checkpoint in half
precision, a card, and pictures of the learning curve and of the cases that gained and lost most; nothing if the result
is not shown to be better. Started again after a stop, it goes on where it was.

  python -m training.finetune scans --out weights/mine --subject '^(p[0-9]+)_'
  python -m training.finetune volumes --modality CT --out weights/mine --replay ../shared/data/train
  python -m training.finetune scans --model litemedsam --checkpoint lite_medsam.pth --normalise before_padding \\
      --out weights/mine

exit status: 0 done, 1 not shown to be better, so that nothing was put into --out, 2 it cannot be done
"""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.finetune",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "data",
        type=Path,
        metavar="DATA",
        help="folder, searched in depth; folders <Modality>/<dataset>/ are understood",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the result")
    text = "floating-point checkpoint to begin from (default: what ships of the model)"
    add("--checkpoint", type=Path, metavar="FILE", help=text)
    text = "model (default: the checkpoint's own; the light one without --checkpoint)"
    add("--model", choices=list(PROCEDURES), help=text)
    text = (
        "LiteMedSAM: the paper's stages of quantization, or those layers that a CPU runs faster in 8 bits, in minutes"
    )
    add("--recipe", choices=[PAPER, FAST], default=FAST, help=f"{text} (default: %(default)s)")
    add("--modality", help="of all files: CT, whose intensities are windowed, MR, US...; volumes need it")
    add("--image-suffix", default="", metavar="SUFFIX", help="of images, before the ending, e.g. _0000")
    add("--label-suffix", default="", metavar="SUFFIX", help="of label maps, likewise, e.g. _mask")
    text = "shrink larger images to it; not volumes (default: %(default)s)"
    add("--longest-side", type=int, default=1024, metavar="PX", help=text)
    add("--window-level", type=float, default=CT_WINDOW.level, help="CT, Hounsfield units (default: %(default)s)")
    add("--window-width", type=float, default=CT_WINDOW.width, help="CT, Hounsfield units (default: %(default)s)")
    of_subject = parser.add_mutually_exclusive_group()
    text = "regular expression that finds the subject in a file's name; its first group, if it has one"
    of_subject.add_argument("--subject", metavar="PATTERN", help=f"{text} (default: each file is a subject)")
    of_subject.add_argument("--subjects", type=Path, metavar="CSV", help="table with the columns file and subject")
    add("--held-out", type=int, metavar="N", help="subjects to hold out (default: a fifth, 5 at least)")
    add("--replay", type=Path, metavar="DIR", help="images of what the model knew, to learn from beside DATA")
    text = "of the images that are learned from (default: %(default)s)"
    add("--replay-share", type=share, default=0.25, metavar="X", help=text)
    add("--work", type=Path, metavar="DIR", help="what is made on the way (default: runs/finetune/<name of --out>)")
    add("--force", action="store_true", help="put the result into --out even if it is not shown to be better")
    add("--workers", type=int, default=os.cpu_count(), help="processes that prepare (default: %(default)s)")
    add_normalise(parser)
    add("overrides", nargs="*", metavar="key=value", help="settings of the run, e.g. budget.epochs=16")
    return parser.parse_intermixed_args(arguments)  # settings may come last


def share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text}: a number between 0 and 1 is needed")
    return value


def task_of(args: argparse.Namespace) -> Task:
    window = Window(args.window_level, args.window_width)
    source = Source(args.data, args.modality, args.image_suffix, args.label_suffix, args.longest_side, window)
    return Task(
        source=source,
        out=args.out,
        place=Workplace(args.work or Path("runs/finetune") / args.out.resolve().name),
        checkpoint=args.checkpoint or PROCEDURES[args.model or "light"].checkpoint,
        normalise=args.normalise,
        subject=args.subject,
        subjects=args.subjects,
        held_out=args.held_out,
        replay=args.replay and Source(args.replay, ct_window=window),
        replay_share=args.replay_share,
        overrides=args.overrides,
        workers=args.workers,
        recipe=args.recipe,
    )


def finetune(task: Task, model: str | None, force: bool) -> int:
    """All of it, with a report on the terminal; the exit status.

    Raises:
        CaseError, CheckpointError, SetupError, ValueError, OSError: it cannot be done; the message says why.
    """
    began = time.monotonic()
    check_place(task.place.root, task.out, task.source.folder)
    procedure = procedure_of(task.checkpoint, model, task.recipe)
    run_config(task, procedure, ["data.root=."])  # what is wrong with a setting is said before anything is prepared
    parts = split(task)
    for name, fact in parts.facts.items():
        print(f"{name}: {fact}", flush=True)
    run = learn(task, procedure, parts)
    outcome = make_result(task, procedure, parts, run)
    for title, table in outcome.tables.items():
        print(f"\n{title}, means over the subjects held out\n{table.to_string(index=False)}")
    verdict = outcome.verdict
    print(f"\n{verdict.sentence} Int8 against float: DSC {-verdict.loss_of_int8:+.4f}.")
    print(f"{(time.monotonic() - began) / 60:.1f} minutes")
    if not (verdict.is_better or force):
        reason = f"nothing was put into {task.out}; --force does so, {task.place.result} has the result"
        print(reason, file=sys.stderr)
        return 1
    ship(task.place.result, task.out)
    print(f"{task.out}: {', '.join(sorted(path.name for path in task.out.iterdir() if path.is_file()))}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        return finetune(task_of(args), args.model, args.force)
    except OSError as error:
        print(f"{error.filename or args.out}: cannot be read or written ({error.strerror or error})", file=sys.stderr)
    except (CaseError, CheckpointError, SetupError, ValueError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped; start it again to go on from its last checkpoint", file=sys.stderr)
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main())
