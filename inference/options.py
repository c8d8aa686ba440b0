"""What is the user's choice, and the defaults. Imports nothing heavy: the command line needs it for `--help`."""

from dataclasses import dataclass

# Ways through a volume: the same box on every slice, or from the middle slice outward.
FLATTEN, PROPAGATE = "flatten", "propagate"
STRATEGIES = (FLATTEN, PROPAGATE)

# Who has a pixel that several objects claim.
LATER = "later"  # the baseline's rule: of two objects that claim a pixel, the later box has it
LOGIT = "logit"  # the object with the higher logit has it; of equals, the earlier box
SIZE = "size"  # the same after log2 of the box's area is taken from the logit: small objects lie in front of large ones
OVERLAP_RULES = (LATER, LOGIT, SIZE)

# Arithmetic of the models.
AUTO, F32, BF16 = "auto", "f32", "bf16"  # auto: bf16 where the CPU has it
PRECISIONS = (AUTO, F32, BF16)


MASK_SUFFIXES = (".png", ".tif", ".tiff")  # what the mask of a picture is written as: formats that lose nothing


@dataclass(frozen=True)
class Options:
    """The user's choices for a case.

    Attributes:
        strategy: way through a volume, one of `STRATEGIES`; a 2D case has one slice and needs none.
        overlap: who has a pixel that several objects claim, one of `OVERLAP_RULES`.
        zoom: segment small objects on magnifying windows (see `inference.segment.zoom`).
        box_batch: boxes decoded at once, at most; memory grows with it, masks do not change.
    """

    strategy: str = PROPAGATE
    overlap: str = SIZE
    zoom: bool = True
    box_batch: int = 16
    extent: str = "given"
