"""How cases are segmented, as far as it is the user's choice."""

from dataclasses import dataclass

from inference.paint import SIZE

FLATTEN, PROPAGATE = "flatten", "propagate"


@dataclass(frozen=True)
class Options:
    """Choices that change the masks or the memory they take.

    Attributes:
        strategy: way through a volume, `flatten` or `propagate`; a 2D case has one slice and needs none.
        overlap: who has a pixel that several objects claim, one of `inference.paint.RULES`.
        zoom: segment small objects on magnifying windows (see `inference.zoom`).
        box_batch: boxes decoded at once; memory grows with it, masks do not change.
    """

    strategy: str = PROPAGATE
    overlap: str = SIZE
    zoom: bool = True
    box_batch: int = 16
