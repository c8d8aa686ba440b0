"""Whether objects are followed through volumes by the volume decoder. Needs no numpy."""

from ..errors import SetupError
from ..model.metadata import VOLUME_DECODER, Metadata
from ..options import FIND, FLATTEN, PROPAGATE, Options


def follows(options: Options, metadata: Metadata) -> bool:
    """Whether the objects of volumes are followed by the volume decoder."""
    return options.strategy == PROPAGATE and bool(metadata.state)


def check_extent(options: Options, metadata: Metadata) -> None:
    """Check that extents can be found, if they are to be.

    Raises:
        SetupError: they cannot, with these options or this model.
    """
    if options.extent != FIND or follows(options, metadata):
        return
    if options.strategy == FLATTEN:
        raise SetupError("--extent find follows objects from slice to slice; leave out --strategy flatten")
    raise SetupError(
        f"--extent find needs weights with a {VOLUME_DECODER}, which these are without; choose others with --weights, "
        "or leave it out and give each box its z_min and z_max"
    )
