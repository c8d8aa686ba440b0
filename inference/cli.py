"""The command line: `python -m inference`."""

import argparse
import io
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_SETUP, CaseError, SetupError
from .options import AUTO, OVERLAP_RULES, PRECISIONS, STRATEGIES, Options
from .segment.memory import case_budget, max_picture_pixels, memory_limit, share_out

if TYPE_CHECKING:
    from .model.pair import ModelPair

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
log = logging.getLogger("qmedsam")


class Shard(NamedTuple):
    """The `part`-th (from 1) of `parts` of a folder."""

    part: int
    parts: int


DESCRIPTION = """\
Segment medical images with boxes as prompts, on the CPU.

  every case of a folder:   python -m inference -i inputs -o outputs
  one ordinary picture:     python -m inference --image scan.png --box 80,60,200,170 -o mask.png

A case is an .npz file with `imgs` and `boxes`; the result has the same name and one array, `segs`:
0 is background, i the object of the i-th box. README.md describes the format.
"""
EPILOG = """\
exit status: 0 all cases done; 1 some failed, each named on standard error; 2 wrong command line;
3 weights, input folder or output folder unusable; 130 or 143 stopped by SIGINT or SIGTERM.
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; argparse ends the process with status 2 where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m inference",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-i", "--input", type=Path, metavar="IN", help="folder of *.npz cases")
    source.add_argument("--image", type=Path, metavar="FILE", help="one picture, gray or colour, 8 or 16 bit")
    parser.add_argument("--box", type=box, action="append", default=[], metavar="X0,Y0,X1,Y1", dest="boxes",
                        help="with --image: a box in its pixels; repeat for more objects")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT",
                        help="folder for the results; with --image, the mask file (.png or .tif)")  # fmt: skip
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="DIR",
                        help="folder with encoder.onnx and decoder.onnx (default: the pair that ships)")  # fmt: skip
    parser.add_argument("--box-batch", type=positive, default=Options.box_batch, metavar="N",
                        help="boxes decoded at once: fewer take less memory (default: %(default)s)")  # fmt: skip
    parser.add_argument("--strategy", choices=STRATEGIES, default=Options.strategy,
                        help="in volumes: the same box on every slice, or from the middle slice outward with each "
                        "slice prompted by the last mask (default: %(default)s)")  # fmt: skip
    parser.add_argument("--overlap", choices=OVERLAP_RULES, default=Options.overlap,
                        help="who has a pixel claimed twice, see README (default: %(default)s)")  # fmt: skip
    parser.add_argument("--no-zoom", action="store_false", dest="zoom",
                        help="do not segment small objects on magnifying windows of their own")  # fmt: skip
    parser.add_argument("--precision", choices=PRECISIONS, default=AUTO,
                        help="arithmetic; auto takes bf16 where the CPU has it (default: %(default)s)")  # fmt: skip
    parser.add_argument("--threads", type=positive, default=0, metavar="N", help="CPU threads (default: all)")
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="compiled models (default: beside the weights, or ~/.cache/qmedsam)")  # fmt: skip
    parser.add_argument("--skip-existing", action="store_true",
                        help="leave out cases whose result is there: finish a stopped run")  # fmt: skip
    parser.add_argument("--shard", type=shard, default=Shard(1, 1), metavar="I/N",
                        help="do the I-th of N disjoint parts of the folder, I from 1")  # fmt: skip
    parser.add_argument("--overlay", type=Path, metavar="DIR",
                        help="folder for one PNG per case that shows image, boxes and masks")  # fmt: skip
    parser.add_argument("--verbose", action="store_true",
                        help="also say what was loaded or compiled, and the peak memory")  # fmt: skip
    parsed = parser.parse_args(arguments)
    if parsed.image and not parsed.boxes:
        parser.error("--image needs at least one --box X0,Y0,X1,Y1")
    if parsed.image and parsed.output.resolve() == parsed.image.resolve():
        parser.error("-o would replace the picture")
    if parsed.image and (parsed.skip_existing or parsed.shard.parts > 1):
        parser.error("--skip-existing and --shard go with --input, a folder of cases")
    if parsed.boxes and not parsed.image:
        parser.error("--box goes with --image; cases in a folder hold their own boxes")
    return parsed


def box(text: str) -> list[float]:
    """`x0,y0,x1,y1` as four numbers."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"'{text}' is not x0,y0,x1,y1")
    return numbers


def shard(text: str) -> Shard:
    """`i/n` with i from 1 to n."""
    parts = text.split("/")
    if len(parts) == 2 and all(part.isdecimal() for part in parts):
        chosen = Shard(*map(int, parts))
        if 1 <= chosen.part <= chosen.parts:
            return chosen
    raise argparse.ArgumentTypeError(f"'{text}' is not i/n with i from 1 to n")


def positive(text: str) -> int:
    """A whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 up")
    return int(text)


def main(arguments: list[str] | None = None, keep: Callable[["ModelPair"], object] = lambda model: None) -> int:
    """Run the command line; returns the exit status (see `EPILOG`).

    Args:
        keep: called with the model. Who ends the process next keeps it: freeing it takes up to 50 ms, for nothing.
    """
    parsed = parse(arguments)
    _log_to_streams(verbose=parsed.verbose)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    # Read by OpenCV when it is imported: a picture that would not fit in memory is refused by its header.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(max_picture_pixels()))
    # Read by numpy when it is imported. OpenBLAS's threads stay awake for a while after each product, on the cores that
    # OpenVINO needs meanwhile; ours are too small to share anyway.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Imported only now: --help and a wrong command line need neither OpenVINO nor OpenCV.
    from .model.pair import ModelPair

    options = Options(parsed.strategy, parsed.overlap, parsed.zoom, parsed.box_batch)
    try:
        with closing(ModelPair(parsed.weights, parsed.precision, parsed.threads, parsed.cache)) as model:
            keep(model)
            log.debug("%s (%s)", model.metadata.model, model.metadata.precision)
            limit = memory_limit()
            share = share_out(model.metadata.model, options.box_batch, limit, model.threads)
            # What the first case most likely needs loads while the rest is imported and the case is read.
            model.prepare(share.lanes if parsed.input and _begins_with_volume(parsed.input) else 1)
            return (_run_picture if parsed.image else _run_folder)(parsed, model, options, limit)
    except SetupError as error:
        log.error("%s", error)
        return EXIT_SETUP
    finally:
        log.debug("peak memory %.0f MB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        _end_log()


def _end_log() -> None:
    """Nobody may read the log any more, or its disk be full: that is no failure of the run."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(number: int, _: object) -> None:
    """End at once, as `kill`, `docker stop` and Ctrl-C ask, but take temporary files away. PID 1 would ignore them."""
    log.error("stopped by %s", signal.Signals(number).name)
    sys.exit(128 + number)


def _run_folder(parsed: argparse.Namespace, model: "ModelPair", options: Options, limit: int) -> int:
    from .run import case_paths, make_folder, run_cases

    paths = case_paths(parsed.input, *parsed.shard)
    for folder in filter(None, (parsed.output, parsed.overlay)):
        make_folder(folder)
    if parsed.output.samefile(parsed.input):
        raise SetupError(f"{parsed.output}: results have the names of their cases and would replace them")
    if parsed.skip_existing:
        paths = [path for path in paths if not (parsed.output / path.name).exists()]
    return run_cases(paths, parsed.output, model, options, limit, parsed.overlay)


def _begins_with_volume(inputs: Path) -> bool:
    """Whether the first case is a volume, by its name, which is only a hint."""
    try:
        return min((path.name for path in inputs.glob("*.npz")), default="").startswith("3DBox_")
    except OSError:
        return False


def _run_picture(parsed: argparse.Namespace, model: "ModelPair", options: Options, limit: int) -> int:
    from .cases.overlay import write_overlay
    from .cases.picture import read_picture, write_mask
    from .run import describe, make_folder
    from .segment.segment_case import segment_case

    try:
        case = read_picture(parsed.image, parsed.boxes, case_budget())
        for warning in case.warnings:
            log.warning("%s: %s", parsed.image.name, warning)
        segs, windows = segment_case(case, model, options, limit)
        write_mask(parsed.output, segs)
        if parsed.overlay:
            make_folder(parsed.overlay)
            write_overlay(parsed.overlay / f"{parsed.image.stem}.png", case, segs, windows)
    except CaseError as error:
        log.error("%s: %s", parsed.image.name, error)
        return EXIT_CASE_FAILED
    except OSError as error:
        log.error("%s: cannot be written (%s)", parsed.output, error.strerror or error)
        return EXIT_CASE_FAILED
    log.info("%s: %s -> %s", parsed.image.name, describe(case), parsed.output)
    return EXIT_OK


def _log_to_streams(verbose: bool) -> None:
    """Results to standard output; warnings and errors, named as such, to standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be text
    results = logging.StreamHandler(sys.stdout)
    results.addFilter(lambda record: record.levelno < logging.WARNING)
    problems = logging.StreamHandler(sys.stderr)
    problems.setLevel(logging.WARNING)
    problems.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.raiseExceptions = False  # see _end_log
    log.handlers[:] = [results, problems]
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
