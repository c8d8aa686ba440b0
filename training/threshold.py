"""Move the threshold of a trained light model to where its masks score best, on validation cases.

Cross-entropy puts logit 0 where a pixel is as likely inside as outside. The mask of the best expected Dice is larger:
it takes every pixel whose probability is above half the Dice that is reached (Lipton, Elkan and Naryanaswamy 2014);
with a Dice of 0.89 from logit -0.22 on. The runtime cuts at 0, so what is best of a few numbers is added to the logits
instead, by their bias: weights, exports and int8 scales stay what they are.

  python -m training.threshold --checkpoint runs/light/best_half.pt --out weights/light.pt

--presence moves another one, by a number that you give: where objects end that are followed through a volume
(python -m training.extent says how well that is met).

  python -m training.threshold --checkpoint runs/light_volumes/best.pt --shifts 0 --presence -1.5 --out weights/light.pt
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from training.model.arguments import add_normalise
from training.model.checkpoint import CheckpointError, load_model, save_checkpoint
from training.scoring.means import MEAN, by_modality
from training.scoring.validation import ValidationConfig, validate

SHIFTS = (0.0, 0.1, 0.2, 0.3)


def scores_by_shift(
    model: nn.Module, shifts: Sequence[float], validation: ValidationConfig, normalise: str
) -> dict[float, float]:
    """Mean DSC over modalities with each number added to all logits. The model is left as it is."""
    scores = {}
    for shift in shifts:
        model.mask_decoder.shift_logits(shift)
        scores[shift] = by_modality(validate(model, validation, normalise))[MEAN]
        model.mask_decoder.shift_logits(-shift)
    return scores


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.threshold", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="floating-point or quantized")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the checkpoint, in half precision")
    parser.add_argument("--val", default="../shared/data/val", metavar="DIR",
                        help="folder with imgs and gts; 2D cases count (default: %(default)s)")  # fmt: skip
    parser.add_argument("--shifts", type=float, nargs="+", default=SHIFTS, metavar="X",
                        help="what to try to add to the logits (default: %(default)s)")  # fmt: skip
    parser.add_argument("--presence", type=float, default=0.0, metavar="X",
                        help="added to the logit that an object is on a slice; below 0 it ends earlier")  # fmt: skip
    add_normalise(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        model = load_model(options.checkpoint)
        if not hasattr(model.mask_decoder, "shift_logits"):
            raise CheckpointError(f"{options.checkpoint}: the logits of {model.name} have no bias that could be moved")
        if options.presence and not model.state:
            raise CheckpointError(f"{options.checkpoint}: {model.name} does not follow objects through volumes")
        validation = ValidationConfig(root=options.val, zoom=True)
        scores = scores_by_shift(model, options.shifts, validation, options.normalise)
        best = max(scores, key=scores.__getitem__)
        model.mask_decoder.shift_logits(best)
        if options.presence:
            model.volume_decoder.slice_memory.shift_presence(options.presence)
        save_checkpoint(options.out, model, half=True)
    except (CheckpointError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for shift, score in scores.items():
        print(f"{shift:+.2f}  DSC {score:.4f}{f'  <- {options.out}' if shift == best else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
