"""Trains a model: stage 0 in floating point from scratch, stages 1 to 3 quantization-aware (QMedSAM)."""

import argparse
import sys
from pathlib import Path

import torch.distributed as dist

from inference.errors import CaseError
from training.model.checkpoint import CheckpointError
from training.trainer.config import read_config
from training.trainer.loop import train

DESCRIPTION = """\
Train a model. A run lives in the folder `output` of its configuration and goes on from its last checkpoint, exactly,
whenever it is started again. To extend a finished run, start it again with a larger budget and
--resume <output>/before_cooldown.pt.

  python -m training.train --config training/configs/light.yaml data.root=../datasets/train budget.minutes=60
  torchrun --nproc-per-node 4 -m training.train --config training/configs/stage1.yaml init=lite_medsam.pth
"""


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.train", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="YAML file; training/configs has one per stage")
    parser.add_argument("--resume", type=Path, help="checkpoint to continue from (default: <output>/last.pt, if any)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings, e.g. optimizer.lr=0.001")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        config = read_config(args.config, args.overrides)
        if args.resume and not args.resume.exists():
            raise CheckpointError(f"{args.resume}: no such checkpoint")
        train(config, args.resume)
    except (CaseError, CheckpointError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; start it again to go on from its last checkpoint", file=sys.stderr)
        return 130
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
