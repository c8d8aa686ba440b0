"""The run over many cases: every case on its own, a bad one never stops the others."""

import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from .cases.case import Case
from .errors import EXIT_CASE_FAILED, EXIT_OK, CaseError, FormatError, only_case_errors
from .jobs import Job, shown_name, targets
from .memory_limit import MB, peak, reset_peak
from .model.pair import ModelPair
from .options import Options
from .progress import Progress
from .segment.memory import share_out
from .segment.segment_case import segment_case

log = logging.getLogger("qmedsam")


def run_jobs(
    jobs: Sequence[Job], model: ModelPair, options: Options, memory: int, overlay_windows: bool = False
) -> int:
    """Segment cases, each into a file of its own.

    Args:
        memory: bytes that this process may use.
        overlay_windows: whether overlays show the windows that magnify small objects.

    Returns:
        Exit status: `EXIT_OK`, or `EXIT_CASE_FAILED` if at least one case failed or has a box that cannot be used.

    Raises:
        SetupError: the model cannot be loaded.
    """
    progress = Progress(len(jobs))
    failed: list[str] = []
    incomplete: list[str] = []
    peaks: dict[str, int] = {}
    try:
        for job in jobs:
            name = shown_name(job)
            progress.start(name)
            reset_peak()
            try:
                case, line = _run_job(job, model, options, memory, overlay_windows, progress)
            except CaseError as error:
                failed.append(name)
                progress.clear()
                log.error("%s: %s", name, error)
            else:
                if case.problems:
                    incomplete.append(name)
                progress.clear()
                log.info(line)
            peaks[name] = peak()
            progress.finish()
    finally:  # a run that is stopped names its failures too
        for name, most in peaks.items():
            log.debug("%s: peak memory %.0f MB", name, most / MB)
        if len(jobs) > 1:
            _summarise("failed", failed, len(jobs))
            _summarise("done without some of their boxes", incomplete, len(jobs))
    return EXIT_CASE_FAILED if failed or incomplete else EXIT_OK


def _summarise(what: str, names: Sequence[str], total: int) -> None:
    if names:
        log.error("%d of %d cases %s: %s", len(names), total, what, ", ".join(names))


def _run_job(
    job: Job, model: ModelPair, options: Options, memory: int, overlay_windows: bool, progress: Progress
) -> tuple[Case, str]:
    """Read, segment and write one case; the case, and what the log says of it.

    Raises:
        CaseError: this case cannot be read, segmented or written. A result that an earlier run made is gone then.
    """
    start = time.perf_counter()
    name, earlier = shown_name(job), targets(job)
    try:
        with only_case_errors():
            share = share_out(model.metadata, options.box_batch, memory, model.threads)
            case = job.read(share.case_bytes)
            if case.notes or case.warnings or case.problems:
                progress.clear()
            for note in case.notes:
                log.info("%s: %s", name, note)
            for warning in case.warnings:
                log.warning("%s: %s", name, warning)
            for problem in case.problems:
                log.error("%s: %s", name, problem)
            segs, windows = segment_case(case, model, options, memory, progress.case_fraction)
            job.write(case, segs)
            earlier.remove(job.result)
            if job.overlay:
                from .cases.overlay import write_overlay

                write_overlay(job.overlay, case, segs, windows if overlay_windows else ())
    except FormatError:
        raise
    except CaseError as error:
        raise CaseError(f"{error}{_remove(earlier)}") from error
    where = f" -> {job.result}" if job.tells_result else ""
    return case, f"{name}: {describe(case)}, {time.perf_counter() - start:.2f} s{where}"


def _remove(earlier: Iterable[Path]) -> str:
    """Take away what an earlier run made of a case that fails now, lest it be taken for its result; what was done."""
    done = ""
    for path in earlier:
        if path.is_file() or path.is_symlink():
            try:
                path.unlink()
                done += f"; removed {path}, which an earlier run made"
            except OSError as error:
                done += f"; {path}, which an earlier run made, cannot be removed ({error.strerror})"
    return done


def describe(case: Case) -> str:
    """`512x512, 3 boxes` or `23x512x512, 3 boxes`."""
    shape = case.shape if case.is_volume else case.shape[1:]
    count = len(case.boxes)
    return f"{'x'.join(map(str, shape))}, {count} box{'' if count == 1 else 'es'}"
