"""What the command line does: `qmedsam` where the package is installed, `python -m inference` in a checkout."""

import argparse
import gc
import io
import logging
import os
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from .arguments import SUBCOMMANDS, parse
from .errors import EXIT_OK, EXIT_SETUP, SetupError
from .memory_limit import MB, MOST_PIXELS, max_picture_pixels, memory_limit
from .options import Options
from .stopping import stop_on_signals

if TYPE_CHECKING:
    from .jobs import Job
    from .model.pair import ModelPair

log = logging.getLogger("qmedsam")

READ_SOON = 2 * MB  # a case's file


def main(arguments: Sequence[str] | None = None, keep: Callable[["ModelPair"], object] = lambda model: None) -> int:
    """Run the command line; returns the exit status (see `inference.arguments.EPILOG`).

    Args:
        arguments: instead of the process's own.
        keep: called with the model. Who ends the process next keeps it: freeing it takes up to 50 ms, for nothing.

    Raises:
        SystemExit: the command line is wrong, or asks for help only; or a signal stopped the run.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    subcommand = SUBCOMMANDS.get(arguments[0]) if arguments else None
    if not (subcommand and subcommand.module):
        return run_program(parse, _jobs, arguments, keep)
    module = subcommand.module

    def run() -> int:
        log_to_streams()
        return int(_imported(arguments[0], module).main(arguments[1:]))

    return _guarded(run)


def _imported(subcommand: str, name: str) -> Any:
    """The module of a sub-command.

    Raises:
        SetupError: the container's image leaves it out.
    """
    from importlib import import_module

    try:
        return import_module(name, __package__)
    except ModuleNotFoundError as error:
        folder = (error.name or "").removeprefix(f"{__package__}.")
        if folder == error.name:  # a library's
            raise
        raise SetupError(
            f"'{subcommand}' is not in this image; docker build --target {folder} makes one that has it"
        ) from error


def run_program(
    parse: Callable[[Sequence[str]], argparse.Namespace],
    find_jobs: Callable[[argparse.Namespace, Iterable[str]], Sequence["Job"]],
    arguments: Sequence[str],
    keep: Callable[["ModelPair"], object],
) -> int:
    """Parse a command line and do the jobs that it asks for; whatever happens becomes a line and an exit status.

    Args:
        parse: of the command line; with the options of `inference.arguments.add_model_options` and `add_run_options`.
        find_jobs: from what was parsed, and the names of the files of the weights, to what is to be done; may raise
            SetupError.
        arguments, keep: as `main` takes them.

    Raises:
        SystemExit: as `main` says.
    """

    def run() -> int:
        parsed = parse(arguments)
        log_to_streams(parsed.verbose)
        try:
            with _uncollected() as imported:
                return _run(parsed, find_jobs, keep, imported)
        finally:
            log.debug("peak memory %.0f MB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    return _guarded(run)


@contextmanager
def _uncollected() -> Iterator[Callable[[], None]]:
    """Look for no garbage, which takes 5 ms, until the given function is called: what is imported is none, and is left
    out of later searches too. Where this process has other plans for its garbage, they stay."""
    if not gc.isenabled() or gc.get_freeze_count():
        yield lambda: None
        return

    def imported() -> None:
        gc.freeze()
        gc.enable()

    gc.disable()
    try:
        yield imported
    finally:
        gc.unfreeze()
        gc.enable()


def _guarded(run: Callable[[], int]) -> int:
    """Do it, with streams and signals seen to; what keeps it from starting becomes a line and an exit status."""
    _open_closed_streams()
    stopped = stop_on_signals()
    try:
        return run()
    except SetupError as error:
        log.error("%s", error)
        return EXIT_SETUP
    except ImportError as error:
        if status := stopped():
            return status
        reason = str(error).strip().partition("\n")[0]
        log.error("%s: %s lacks a library of the runtime, or has one that does not fit; `make demo` sets up "
                  "all in .venv/runtime, `pip install -r requirements.txt` in an environment of yours",
                  reason, sys.executable)  # fmt: skip
        return EXIT_SETUP
    finally:
        flush_streams()


def _run(
    parsed: argparse.Namespace,
    find_jobs: Callable[[argparse.Namespace, Iterable[str]], Sequence["Job"]],
    keep: Callable[["ModelPair"], object],
    imported: Callable[[], None],
) -> int:
    memory = memory_limit(parsed.memory)
    # Read by OpenCV when it is imported: a picture that would not fit in memory is refused by its header.
    os.environ.setdefault(MOST_PIXELS, str(max_picture_pixels(memory)))
    # Read by numpy when it is imported. OpenBLAS's threads stay awake for a while after each product, on the cores that
    # OpenVINO needs meanwhile; ours are too small to share anyway.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Imported only now: --help and a wrong command line need neither OpenVINO nor OpenCV. What comes before models
    # begin to load does without numpy, since each line there makes every start longer.
    from .model.metadata import pair_metadata
    from .segment.blocks import WORTH_BLOCKS, block_size
    from .segment.following import check_extent, follows
    from .segment.memory import share_out

    metadata = pair_metadata(parsed.weights)
    log.debug("%s (%s)", metadata.model, metadata.precision)
    options = Options(parsed.strategy, parsed.overlap, parsed.zoom, parsed.box_batch, parsed.extent)
    check_extent(options, metadata)
    jobs = find_jobs(parsed, metadata.files)
    if not jobs:
        return EXIT_OK
    threads = parsed.threads or len(os.sched_getaffinity(0))
    share = share_out(metadata, options.box_batch, memory, threads)
    shares = (memory // MB, share.box_batch, share.lanes, share.case_bytes // MB)
    log.debug("memory limit %d MB: boxes at once %d, slices at once %d, %d MB for a case", *shares)

    from .model.early_load import EarlyLoads
    from .model.variant import decoder_variant, encoder_variant

    # What the first case most likely needs loads while the rest is imported and the case is read.
    first = jobs[0]
    lanes, follow = (share.lanes, follows(options, metadata)) if first.is_volume else (1, False)
    with EarlyLoads(parsed.weights, metadata, parsed.precision, parsed.threads, parsed.cache) as early:
        if soon := _is_read_soon(first):
            early.load(encoder_variant(lanes))
        slices = WORTH_BLOCKS if first.is_volume else 1  # as if there were so many
        size = 1 if follow else block_size([first.box_count] * slices, share.box_batch)
        if soon and size == 1:  # else there is much to do, and numpy had better not wait for both
            early.load(decoder_variant(lanes, follow, size, threads))
        from .model.pair import ModelPair

        with closing(ModelPair(parsed.weights, parsed.precision, parsed.threads, parsed.cache, early)) as model:
            keep(model)
            model.prepare(lanes, follow, size)
            from .jobs import make_folders
            from .run import run_jobs

            make_folders(jobs)
            imported()
            return run_jobs(jobs, model, options, memory, parsed.overlay_windows)


def _is_read_soon(job: "Job") -> bool:
    """Whether a case is read in less time than models load. Else they had better load while it is read: earlier they
    would keep the cores from the imports that reading waits for."""
    try:
        return job.source.is_file() and job.source.stat().st_size < READ_SOON
    except OSError:
        return False


def _jobs(parsed: argparse.Namespace, weights: Iterable[str]) -> Sequence["Job"]:
    """What is to be done, once it is sure that nothing is lost by it.

    Args:
        weights: names of the files in the folder of the weights.

    Raises:
        SetupError: input or output is unusable.
    """
    from .jobs import case_paths, folder_jobs, picture_job
    from .overwriting import refuse_input_folder, refuse_overwriting

    jobs: Sequence[Job]
    if parsed.image:
        jobs, read = [picture_job(parsed.image, parsed.boxes, parsed.output, parsed.overlay)], [parsed.image]
    else:
        refuse_input_folder(parsed.input, parsed.output, parsed.overlay)
        read = case_paths(parsed.input)
        jobs = folder_jobs(parsed.shard.of(read), parsed.output, parsed.overlay)
    refuse_overwriting(jobs, [*read, *(parsed.weights / name for name in weights)])
    return left_to_do(jobs, parsed.skip_existing)


def left_to_do(jobs: Sequence["Job"], skip_existing: bool) -> Sequence["Job"]:
    """The jobs without those that are done, if these are to be skipped; says so where nothing is left."""
    from .jobs import is_done

    left = [job for job in jobs if not (skip_existing and is_done(job))]
    if not left:
        log.info("nothing to do: %d cases in this part of the folder, all done", len(jobs))
    return left


def _open_closed_streams() -> None:
    """Lead streams that were closed (`2>&-`) nowhere; else the next file that is opened, a result, would be the log."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def flush_streams() -> None:
    """Nobody may read the log any more, or its disk be full: that is no failure of the run."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def log_to_streams(verbose: bool = False) -> None:
    """Results to standard output; warnings and errors, named as such, to standard error.

    Args:
        verbose: what is only interesting to know, too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be text
    results = logging.StreamHandler(sys.stdout)
    results.addFilter(lambda record: record.levelno < logging.WARNING)
    problems = logging.StreamHandler(sys.stderr)
    problems.setLevel(logging.WARNING)
    problems.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.raiseExceptions = False  # see flush_streams
    log.handlers[:] = [results, problems]
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
