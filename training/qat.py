"""Quantization-aware training as a whole: a floating-point checkpoint and a data root to the two int8 ONNX files."""

import argparse
import os
import sys
from pathlib import Path

import torch.distributed as dist

from inference.errors import CaseError
from training.export.pair import export_pair
from training.model.arguments import add_normalise
from training.model.checkpoint import CheckpointError, load_model
from training.trainer.checks import check_writable
from training.trainer.stage_runs import FAST, PAPER, calibrate_only, train_stages

DESCRIPTION = """\
QMedSAM's three stages one after the other, each from the best checkpoint of the one before, then the export: from a
floating-point checkpoint (the public lite_medsam.pth or our own) and a training tree to encoder.onnx and decoder.onnx.
What was stopped goes on where it was when it is started again. --calibrate-only trains nothing: the layers and scales
that stage 3 would start with, to tell what training adds (also as a checkpoint: RUNS/calibrated/best.pt).

  python -m training.qat --checkpoint lite_medsam.pth --root data --normalise before_padding --out weights/mine
  torchrun --nproc-per-node 4 -m training.qat --checkpoint weights/light.pt --root data --out weights/mine
"""


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.qat", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="floating-point checkpoint")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="tree <Modality>/<Dataset>/*.npz")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the two ONNX files")
    parser.add_argument("--runs", type=Path, default=Path("runs/qat"), metavar="DIR", help="(default: %(default)s)")
    text = "validation cases, imgs and gts: the best weights of each stage are kept (default: none, the last are kept)"
    parser.add_argument("--val", type=Path, metavar="DIR", help=text)
    text = "the paper's protocol, for several GPUs, or layers that a CPU runs faster in 8 bits, in minutes"
    parser.add_argument("--recipe", choices=[PAPER, FAST], help=f"{text} (default: paper; for the light model fast)")
    parser.add_argument("--calibrate-only", action="store_true", help="no training: set the scales and export")
    add_normalise(parser)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of every stage, e.g. threads=2")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        check_writable(args.out)
        settings = [f"validation.root={args.val or 'null'}", *args.overrides]
        quantize = calibrate_only if args.calibrate_only else train_stages
        best = quantize(args.checkpoint, args.root, args.runs, args.normalise, settings, args.recipe)
        if os.environ.get("RANK", "0") == "0":
            export_pair(load_model(best), args.out, args.normalise)
    except (CaseError, CheckpointError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; start it again to go on from its last checkpoint", file=sys.stderr)
        return 130
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    print(f"{args.out}: encoder.onnx and decoder.onnx of {best}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
