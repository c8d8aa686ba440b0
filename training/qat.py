"""Quantization-aware training as a whole: a floating-point checkpoint and a data root to the two int8 ONNX files."""

import argparse
import os
import sys
from pathlib import Path

import torch.distributed as dist

from training.arguments import add_normalise
from training.export.pair import export_pair
from training.model.checkpoint import DEFAULT_MODEL, CheckpointError, load_model, read_checkpoint
from training.trainer.config import read_config
from training.trainer.loop import train
from training.trainer.run import BEST, LAST

DESCRIPTION = """\
QMedSAM's three stages one after the other, each from the best checkpoint of the one before, then the export: from a
floating-point checkpoint (the public lite_medsam.pth or our own) and a training tree to encoder.onnx and decoder.onnx.
What was stopped goes on where it was when it is started again.

  python -m training.qat --checkpoint lite_medsam.pth --root data --normalise before_padding --out weights/mine
  torchrun --nproc-per-node 4 -m training.qat --checkpoint weights/light.pt --root data --out weights/mine
"""
CONFIGS = Path(__file__).parent / "configs"
# File names of the stages' configurations: the paper's protocol, and ours for the light model.
STAGES = {"litemedsam": "stage{}.yaml", "light": "light_stage{}.yaml"}


def train_stages(
    checkpoint: Path, root: Path, runs: Path, normalise: str, overrides: list[str], configs: str | None = None
) -> Path:
    """Stages 1, 2 and 3.

    Args:
        checkpoint: floating-point checkpoint.
        root: training tree.
        runs: folder for the runs, `stage1` to `stage3`.
        normalise: `after_padding` or `before_padding`, as the checkpoint was trained.
        overrides: settings `key=value` for every stage.
        configs: file name of the stages' configurations with {} for the stage; None takes those of `STAGES`.

    Returns:
        The best checkpoint of stage 3.

    Raises:
        ValueError: a stage was begun from other weights than it would be now.
    """
    name = read_checkpoint(checkpoint).model_name or DEFAULT_MODEL
    if name not in STAGES:
        raise ValueError(f"{checkpoint}: no configurations of stages for the model {name!r}")
    configs = configs or STAGES[name]
    init = checkpoint
    for stage in (1, 2, 3):
        output = runs / f"stage{stage}"
        last = output / LAST
        if last.exists() and last.stat().st_mtime_ns < init.stat().st_mtime_ns:
            raise ValueError(f"{last}: older than {init}, from which it should go on; remove {output} to begin it anew")
        settings = [f"output={output}", f"init={init}", f"data.root={root}", f"data.normalise={normalise}"]
        settings.append(f"distillation.teacher={checkpoint}")  # it teaches all stages, where they are taught
        train(read_config(CONFIGS / configs.format(stage), [*settings, *overrides]))
        init = output / BEST
    return init


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.qat", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="floating-point checkpoint")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="tree <Modality>/<Dataset>/*.npz")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the two ONNX files")
    parser.add_argument("--runs", type=Path, default=Path("runs/qat"), metavar="DIR", help="(default: %(default)s)")
    add_normalise(parser)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of every stage, e.g. threads=2")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        best = train_stages(args.checkpoint, args.root, args.runs, args.normalise, args.overrides)
        if os.environ.get("RANK", "0") == "0":
            export_pair(load_model(best), args.out, args.normalise)
    except (CheckpointError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    print(f"{args.out}: encoder.onnx and decoder.onnx of {best}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
