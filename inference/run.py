"""The run over many cases: every case on its own, a bad one never stops the others."""

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from .atomic import check_writable, remove_stale
from .cases.case import Case, read_case
from .cases.npz import write_segs
from .cases.overlay import write_overlay
from .errors import EXIT_CASE_FAILED, EXIT_OK, CaseError, SetupError
from .model.pair import ModelPair
from .options import Options
from .progress import Progress
from .segment import memory
from .segment.segment_case import segment_case

log = logging.getLogger("qmedsam")


def run_cases(
    paths: Sequence[Path],
    outputs: Path,
    model: ModelPair,
    options: Options,
    limit: int,
    overlays: Path | None = None,
) -> int:
    """Segment cases, each into a file of the same name.

    Args:
        paths: the `*.npz` files.
        outputs: folder of results.
        limit: bytes of memory that this process may use.
        overlays: folder for one PNG per case, or None.

    Returns:
        Exit status: `EXIT_OK`, or `EXIT_CASE_FAILED` if at least one case failed.

    Raises:
        SetupError: the model cannot be loaded.
    """
    if not paths:
        log.warning("no *.npz files to do")
    progress = Progress(len(paths))
    failed: list[str] = []
    peaks: dict[str, int] = {}
    try:
        for path in paths:
            name = printable(path.name)
            progress.start(name)
            memory.reset_peak()
            try:
                line = f"{name}: {_run_case(path, outputs, model, options, limit, overlays, progress)}"
            except CaseError as error:
                failed.append(name)
                progress.clear()
                log.error("%s: %s", name, error)
            else:
                progress.clear()
                log.info(line)
            peaks[name] = memory.peak()
            progress.finish()
    finally:  # a run that is stopped names its failures too
        for name, peak in peaks.items():
            log.debug("%s: peak memory %.0f MB", name, peak / memory.MB)
        if failed:
            log.error("%d of %d cases failed: %s", len(failed), len(paths), ", ".join(failed))
    return EXIT_CASE_FAILED if failed else EXIT_OK


def case_paths(inputs: Path, part: int = 1, parts: int = 1) -> list[Path]:
    """The `*.npz` files of a folder, by name; hidden ones are not cases.

    Args:
        part, parts: every `parts`-th of them, beginning with the `part`-th, counted from 1.

    Raises:
        SetupError: the folder is missing or unreadable.
    """
    try:
        cases = [path for path in inputs.iterdir() if path.suffix == ".npz" and not path.name.startswith(".")]
    except OSError as error:
        raise SetupError(f"{inputs}: cannot read the input folder ({error.strerror})") from error
    return sorted(cases)[part - 1 :: parts]


def make_folder(folder: Path) -> None:
    """Make a folder for results unless it is there, and see that files can be made in it.

    Raises:
        SetupError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder)
        remove_stale(folder)
    except OSError as error:
        reason = f"user {os.geteuid()}: {error.strerror}"
        raise SetupError(f"{folder}: cannot write to the output folder ({reason})") from error


def _run_case(
    path: Path,
    outputs: Path,
    model: ModelPair,
    options: Options,
    limit: int,
    overlays: Path | None,
    progress: Progress,
) -> str:
    """Read, segment and write one case; what the log says of it.

    Raises:
        CaseError: this case cannot be read, segmented or written.
    """
    start = time.perf_counter()
    try:
        share = memory.share_out(model.metadata.model, options.box_batch, limit, model.threads)
        case = read_case(path, share.case_bytes)
        for warning in case.warnings:
            progress.clear()
            log.warning("%s: %s", printable(path.name), warning)
        segs, windows = segment_case(case, model, options, limit, progress.case_fraction)
        write_segs(outputs / path.name, segs)
        if overlays:
            write_overlay(overlays / f"{path.stem}.png", case, segs, windows)
    except (CaseError, SetupError):
        raise
    except MemoryError as error:
        raise CaseError("does not fit in memory") from error
    except OSError as error:
        raise CaseError(f"cannot be written ({error.strerror or error})") from error
    except Exception as error:  # not foreseen: a fault of ours, which must not cost the other cases
        log.debug("traceback", exc_info=True)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CaseError(f"failed for a reason not foreseen ({reason})") from error
    return f"{describe(case)}, {time.perf_counter() - start:.2f} s"


def printable(name: str) -> str:
    """A file name on one line, whatever bytes it is made of."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def describe(case: Case) -> str:
    """`512x512, 3 boxes` or `23x512x512, 3 boxes`."""
    shape = case.shape if case.is_volume else case.shape[1:]
    count = len(case.boxes)
    return f"{'x'.join(map(str, shape))}, {count} box{'' if count == 1 else 'es'}"
