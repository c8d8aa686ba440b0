"""The ways in which a file of a pair is run."""

from typing import Any, NamedTuple

from .metadata import DECODER, ENCODER, VOLUME_DECODER

# OpenVINO would merge operations between layers into kernels that it makes anew at every load. Without them decoders
# are loaded in half the time, with 15 MB less; the volume decoder takes a tenth longer for an object, the decoder of
# images no longer for one or a few. Encoders are loaded in two thirds of the time, and take longer for an image (light
# 1 ms, LiteMedSAM 15), which pays where they see few.
LOADED_QUICKLY = {"SNIPPETS_MODE": "DISABLE"}
# Blocks of boxes that are decoded at once, each on its share of the threads: threads that share each of a block's many
# small operations wait for one another, and two blocks on one thread each take two thirds of the time.
SIDE_BY_SIDE = 2


class Variant(NamedTuple):
    """One way in which a file of the pair is run.

    Attributes:
        file: `ENCODER`, `DECODER` or `VOLUME_DECODER`.
        streams: inferences that run side by side and share the CPU's threads.
        boxes: of a `DECODER`, how many each inference takes.
    """

    file: str
    streams: int
    boxes: int = 1

    @property
    def is_loaded_quickly(self) -> bool:
        """Whether it pays to load it in less time, and run it in more.

        The encoder pays where it sees an image and its few windows; all slices of a volume are encoded side by side.
        """
        return self.file != ENCODER or self.streams == 1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the inputs whose shapes it fixes."""
        return {"boxes": (self.boxes, 4)} if self.file == DECODER else {}

    def config(self, engine: dict[str, Any]) -> dict[str, Any]:
        """OpenVINO's settings for it; `engine` are those of all, from `inference.model.engine`."""
        return {**engine, **(LOADED_QUICKLY if self.is_loaded_quickly else {}), "NUM_STREAMS": self.streams}


def encoder_variant(streams: int) -> Variant:
    """The encoder, for so many threads that use it side by side."""
    return Variant(ENCODER, streams)


def decoder_variant(streams: int, follow: bool, block_size: int, threads: int) -> Variant:
    """The decoder that goes with it; arguments as for `inference.model.pair.ModelPair.prepare`.

    Args:
        threads: of the CPU, for all inferences together.
    """
    if follow:
        return Variant(VOLUME_DECODER, streams)
    side_by_side = min(SIDE_BY_SIDE, threads) if block_size > 1 else 1
    return Variant(DECODER, max(streams, side_by_side), block_size)
