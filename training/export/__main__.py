"""`python -m training.export`: a checkpoint to the ONNX files of the runtime."""

import argparse
import sys
from pathlib import Path

from training.export.pair import export_pair
from training.model import build_model
from training.model.arguments import add_model, add_normalise
from training.model.checkpoint import DEFAULT_MODEL, CheckpointError, load_model
from training.model.untrained import fill_randomly

DESCRIPTION = """\
Export a checkpoint to the ONNX files of the runtime: encoder.onnx and decoder.onnx, and volume_decoder.onnx of a model
that follows objects through volumes. What the runtime must know of the model (sizes, order of normalisation and
padding, box convention, ...) is written into the metadata of all.

  python -m training.export --checkpoint lite_medsam.pth --normalise before_padding --out weights/mine
"""


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.export", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path, metavar="FILE", help="checkpoint, a published one or our own")
    source.add_argument("--untrained", type=int, metavar="SEED", help="no checkpoint: random weights from this seed")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    add_model(parser)
    add_normalise(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        if options.checkpoint:
            model = load_model(options.checkpoint, options.model)
        else:
            model = build_model(options.model or DEFAULT_MODEL)
            fill_randomly(model, options.untrained)
        export_pair(model, options.out, options.normalise)
    except (CheckpointError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    files = "encoder.onnx, decoder.onnx and volume_decoder.onnx" if model.state else "encoder.onnx and decoder.onnx"
    print(f"{options.out}: {files} of {model.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
