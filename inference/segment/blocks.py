"""How many boxes go through the decoder at once.

One or, where there are many, a block of always the same size, since the decoder is loaded for a number of boxes. A box
in a block takes less time than one on its own, but a view that does not fill its last block waits for it all the same.
"""

from collections.abc import Iterable, Iterator

# From so many boxes of a case on a decoder that works on two blocks side by side pays for its loading, and for 12 MB.
WORTH_BLOCKS = 48
# Times as many boxes as there are may be decoded; beyond, one by one is quicker. Of an image it binds nothing: how its
# boxes are spread over windows is not known yet when the decoder is loaded.
MOST_PADDED = 1.2


def block_size(views: Iterable[int], size: int) -> int:
    """The block size of one case: `size` where that pays, else 1.

    Args:
        views: the number of boxes of each view, as often as it is decoded.
        size: of a block, at least 1.
    """
    counts = list(views)
    boxes, decoded = sum(counts), sum(-(-count // size) * size for count in counts)
    return size if boxes >= WORTH_BLOCKS and decoded <= boxes * MOST_PADDED else 1


def split(count: int, size: int) -> Iterator[slice]:
    """Consecutive blocks of `count` boxes; the last may be smaller."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
