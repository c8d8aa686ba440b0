"""How long a container takes for one case, from `docker run` to its end, which is what the challenge times.

  docker build -t qmedsam .
  python -m training.benchmark.container_start --val ../shared/data/val --work /tmp/benchmark

prints a table and writes container_start.csv in --out: medians over rounds in which all take turns. `process` is the
same case by `python -m inference` on this machine, `container, nothing` is `python -c pass` in the same image: what the
engine takes for itself. The ratios are medians over rounds of the ratio to `process` within a round.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from inference.arguments import positive
from training.benchmark.case_specs import SPECS
from training.benchmark.processes import BenchmarkError, Contender, paired_ratio, python
from training.benchmark.tables import Row
from training.benchmark.workplace import Workplace

CASE = "2DBox_256x256_1"
WORKSPACE = "/workspace"  # of the image
# As the challenge starts the image, and with nothing to do.
PREDICT, NOTHING = ("/bin/bash", "-c", "sh predict.sh"), ("python", "-c", "pass")


def contenders(case: Path, place: Workplace, engine: Sequence[str], image: str, repeats: int) -> list[Contender]:
    """The case as a process and in a container, and a container that does nothing.

    engine: the words before the options of a run, such as `docker run`.
    """
    segs = place.segs / "container"
    segs.mkdir(parents=True, exist_ok=True)
    segs.chmod(0o777)  # the container does not run as root
    mounts = ["-v", f"{case.parent}:{WORKSPACE}/inputs", "-v", f"{segs}:{WORKSPACE}/outputs"]
    container = [*engine, "-m", "8G", "--rm", *mounts, image]
    process = python("-m", "inference", "-i", case.parent, "-o", place.segs / "process", "--cache", place.compiled)
    return [
        Contender("process", process, repeats),
        Contender("container, nothing", [*container, *NOTHING], repeats),
        Contender("container", [*container, *PREDICT], repeats),
    ]


def rows(measured: Sequence[Contender]) -> list[Row]:
    """A row for each contender, with its ratio to the first."""
    return [
        {
            "what": contender.name,
            "seconds": contender.seconds,
            "times_process": paired_ratio(contender, measured[0], attrgetter("seconds")),
            "runs": len(contender.runs),
        }
        for contender in measured
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.container_start",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--val", type=Path, required=True, metavar="DIR", help="validation cases: DIR/imgs/*.npz")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="the case is made here, and kept")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"), metavar="DIR",
                        help="container_start.csv (default: %(default)s)")  # fmt: skip
    parser.add_argument("--image", default="qmedsam:latest", help="(default: %(default)s)")
    parser.add_argument("--engine", type=shlex.split, default="docker run", metavar="COMMAND",
                        help="what starts a container, with options if need be (default: %(default)s)")  # fmt: skip
    parser.add_argument("--repeats", type=positive, default=10, metavar="N", help="rounds (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        place = Workplace(options.val, options.work, options.out)
        case, _ = place.case(next(spec for spec in SPECS if spec.name == CASE))
        measured = contenders(case, place, options.engine, options.image, options.repeats)
        place.run(CASE, measured)
        place.report("container_start", rows(measured))
    except (BenchmarkError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
