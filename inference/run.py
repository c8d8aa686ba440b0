"""The run over many cases: every case on its own, a bad one never stops the others."""

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from inference.case import Case, read_case
from inference.errors import EXIT_CASE_FAILED, EXIT_OK, CaseError, SetupError
from inference.memory import case_budget
from inference.model import Model
from inference.npz import write_segs
from inference.options import Options
from inference.overlay import write_overlay
from inference.progress import Progress
from inference.segment import plan_of, segment

log = logging.getLogger("qmedsam")


def run_cases(
    paths: Sequence[Path], outputs: Path, model: Model, options: Options, overlays: Path | None = None
) -> int:
    """Segment cases, each into a file of the same name.

    Args:
        paths: the `*.npz` files.
        outputs: folder of results, made if it is absent.
        overlays: folder for one PNG per case, or None.

    Returns:
        Exit status: `EXIT_OK`, or `EXIT_CASE_FAILED` if at least one case failed.

    Raises:
        SetupError: an output folder cannot be made or written to, or the model cannot be loaded.
    """
    for folder in filter(None, (outputs, overlays)):
        make_folder(folder)
    if not paths:
        log.warning("no *.npz files to do")
    progress = Progress(len(paths))
    failed = []
    for path in paths:
        progress.start(path.name)
        try:
            line = _run_case(path, outputs, model, options, overlays, progress)
        except CaseError as error:
            progress.clear()
            log.error("%s: %s", path.name, error)
            failed.append(path.name)
        else:
            progress.clear()
            log.info(line)
        progress.finish()
    if failed:
        log.error("%d of %d cases failed: %s", len(failed), len(paths), ", ".join(failed))
    return EXIT_CASE_FAILED if failed else EXIT_OK


def case_paths(inputs: Path) -> list[Path]:
    """The `*.npz` files of a folder, by name.

    Raises:
        SetupError: the folder is missing or unreadable.
    """
    try:
        return sorted(path for path in inputs.iterdir() if path.suffix == ".npz")
    except OSError as error:
        raise SetupError(f"{inputs}: cannot read the input folder ({error.strerror})") from error


def make_folder(folder: Path) -> None:
    """Make a folder for results, unless it is there.

    Raises:
        SetupError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{folder}: cannot make the output folder ({error.strerror})") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SetupError(f"{folder}: user {os.geteuid()} may not write to the output folder")


def _run_case(
    path: Path, outputs: Path, model: Model, options: Options, overlays: Path | None, progress: Progress
) -> str:
    """Read, segment and write one case; the log line that says so.

    Raises:
        CaseError: this case cannot be read, segmented or written.
    """
    start = time.perf_counter()
    try:
        case = read_case(path, case_budget())
        for warning in case.warnings:
            progress.clear()
            log.warning("%s: %s", path.name, warning)
        plan = plan_of(case, model, options)
        segs = segment(case, plan, model, options, progress.case_fraction)
        write_segs(outputs / path.name, segs)
        if overlays:
            write_overlay(overlays / f"{path.stem}.png", case, segs, plan)
    except MemoryError as error:
        raise CaseError("does not fit in memory") from error
    except OSError as error:
        raise CaseError(f"cannot be written ({error.strerror or error})") from error
    return f"{path.name}: {describe(case)}, {time.perf_counter() - start:.2f} s"


def describe(case: Case) -> str:
    """`512x512, 3 boxes` or `23x512x512, 3 boxes`."""
    shape = case.shape if case.is_volume else case.shape[1:]
    count = len(case.boxes)
    return f"{'x'.join(map(str, shape))}, {count} box{'' if count == 1 else 'es'}"
