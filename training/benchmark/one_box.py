"""How long `Predictor.predict` takes for a box on an image that is encoded already, as a person clicks from box to box.

  python -m training.benchmark.one_box

prints a table of phantoms by size, warm: milliseconds to encode an image, and to answer for a box without and with the
zoom, which encodes a window of its own for a small object: the median and the tenth that takes longest, and the CPU
time, which other work on the machine disturbs less.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median, quantiles

from inference import Predictor
from inference.arguments import positive
from training.benchmark.measured_table import measured_table
from training.benchmark.tables import Row
from training.data.phantoms import phantom_case_2d

SIZES = ((256, 256), (512, 512), (1024, 1024), (3024, 4032))
OBJECTS = 4


def milliseconds(do: Callable[[int], object], repeats: int) -> dict[str, float]:
    """Of `do(number)`, after it was done once: the median, the ninth decile, and CPU time on average."""
    do(0)
    cpu, walls = time.process_time(), []
    for number in range(repeats):
        start = time.perf_counter()
        do(number)
        walls.append(time.perf_counter() - start)
    cpu = time.process_time() - cpu
    return {"ms": 1e3 * median(walls), "p90": 1e3 * quantiles(walls, n=10)[-1], "cpu": 1e3 * cpu / repeats}


def rows(predictor: Predictor, size: tuple[int, int], repeats: int) -> list[Row]:
    """A row for the image and two for its boxes."""
    phantom = phantom_case_2d(size, OBJECTS, seed=0)
    ways = {
        "set_image": lambda number: predictor.set_image(phantom.imgs),
        "predict, no zoom": lambda number: predictor.predict(phantom.boxes[number % OBJECTS], zoom=False),
        "predict": lambda number: predictor.predict(phantom.boxes[number % OBJECTS]),
    }
    return [{"image": "x".join(map(str, size)), "what": what, **milliseconds(do, repeats)} for what, do in ways.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.one_box",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=positive, default=200, metavar="N", help="calls (default: %(default)s)")
    options = parser.parse_args(arguments)
    with Predictor() as predictor:
        measured_table([row for size in SIZES for row in rows(predictor, size, options.repeats)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
