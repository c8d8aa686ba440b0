"""What is the user's choice, and the defaults. Imports nothing heavy: the command line needs it for `--help`."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# In an installed package the pair that ships lies inside; in a checkout beside it.
PACKAGED_WEIGHTS = Path(__file__).resolve().parent / "weights"

# Ways through a volume: the same box on every slice, or from the middle slice outward.
FLATTEN, PROPAGATE = "flatten", "propagate"
STRATEGIES = (FLATTEN, PROPAGATE)

# From which slice to which an object of a volume reaches.
GIVEN, FIND = "given", "find"  # as its box says; or a box of one slice marks it, and where it ends is found
EXTENTS = (GIVEN, FIND)

# Who has a pixel that several objects claim.
LATER = "later"  # the baseline's rule: of two objects that claim a pixel, the later box has it
LOGIT = "logit"  # the object with the higher logit has it; of equals, the earlier box
SIZE = "size"  # the same after log2 of the box's area is taken from the logit: small objects lie in front of large ones
OVERLAP_RULES = (LATER, LOGIT, SIZE)

# Arithmetic of the models.
AUTO, F32, BF16 = "auto", "f32", "bf16"  # auto: bf16 where the CPU has it
PRECISIONS = (AUTO, F32, BF16)

MASK_SUFFIXES = (".png", ".tif", ".tiff")  # what the mask of a picture is written as: formats that lose nothing


class Window(NamedTuple):
    """The intensities that become 0..255: `level - width / 2` to `level + width / 2`, in the unit of the image."""

    level: float
    width: float

    @property
    def ends(self) -> tuple[float, float]:
        """What becomes 0, and what becomes 255."""
        return self.level - self.width / 2, self.level + self.width / 2


# Hounsfield units, as the images of MedSAM and of the challenge were prepared (Ma et al., Segment anything in medical
# images, 2024).
WINDOWS = {"soft": Window(40, 400), "lung": Window(-160, 1500), "brain": Window(40, 80), "bone": Window(400, 1800)}
CT, CT_WINDOW = "CT", WINDOWS["soft"]  # what CT is shown with, unless told otherwise


@dataclass(frozen=True)
class Options:
    """The user's choices for a case.

    Attributes:
        strategy: way through a volume, one of `STRATEGIES`; a 2D case has one slice and needs none.
        overlap: who has a pixel that several objects claim, one of `OVERLAP_RULES`.
        zoom: segment small objects on magnifying windows (see `inference.segment.zoom`).
        box_batch: boxes in a block of the decoder, where a case has many; memory grows with it.
        extent: from which slice to which objects reach, one of `EXTENTS`; a 2D case has one slice and needs none.
    """

    strategy: str = PROPAGATE
    overlap: str = SIZE
    zoom: bool = True
    box_batch: int = 2
    extent: str = GIVEN

    def __post_init__(self) -> None:
        """Raise ValueError where a choice is none that there is."""
        for name, choices in (("strategy", STRATEGIES), ("overlap", OVERLAP_RULES), ("extent", EXTENTS)):
            check_choice(name, getattr(self, name), choices)
        if self.box_batch < 1:
            raise ValueError(f"box_batch is {self.box_batch}, not a whole number from 1 up")


def check_choice(name: str, chosen: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError where `chosen` is not among the `choices` of the option `name`."""
    if chosen not in choices:
        raise ValueError(f"{name} is '{chosen}', not one of {', '.join(choices)}")


def default_weights() -> Path:
    """Folder of the pair that ships, in an installed package and in a checkout."""
    return PACKAGED_WEIGHTS if PACKAGED_WEIGHTS.is_dir() else PACKAGED_WEIGHTS.parent.parent / "weights"
