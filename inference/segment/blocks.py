"""How many boxes of a view go through the decoder at once.

A box in a block takes about half the time of a box on its own (the light model; LiteMedSAM: five sixths). But OpenVINO
first has to make the decoder ready for every number of boxes that it has not seen: 20 to 40 ms, 100 ms for the first.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

# A block size pays from about this many boxes on that go through it in a case.
WORTH_A_SIZE = 24


def block_sizes(views: Iterable[int], largest: int) -> tuple[int, ...]:
    """The block sizes of one case: those that pay, and 1; descending.

    Args:
        views: the number of boxes of each view, as often as it is decoded.
        largest: most boxes at once.
    """
    boxes: Counter[int] = Counter()
    for count in views:
        boxes[largest] += count - count % largest
        boxes[count % largest] += count % largest
    paying = {size for size, number in boxes.items() if number >= WORTH_A_SIZE}
    return tuple(sorted(paying | {1}, reverse=True))


def split(count: int, sizes: tuple[int, ...]) -> Iterator[slice]:
    """Consecutive blocks of `count` boxes, the largest first."""
    start = 0
    for size in sizes:
        while count - start >= size:
            yield slice(start, start + size)
            start += size
