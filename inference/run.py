"""The run over many cases: every case on its own, a bad one never stops the others."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .arrays import Array
from .cases.case import Case, read_case
from .cases.npz import write_segs
from .cases.overlay import write_overlay
from .cases.picture import read_picture, write_mask
from .errors import EXIT_CASE_FAILED, EXIT_OK, CaseError, only_case_errors
from .jobs import Job
from .memory_limit import MB, peak, reset_peak
from .model.pair import ModelPair
from .options import LATER, PROPAGATE, Options
from .progress import Progress
from .segment import memory
from .segment.plan import Plan
from .segment.propagate import slices_painted_twice
from .segment.segment import plan_of, segment

log = logging.getLogger("qmedsam")


def run_jobs(jobs: Sequence[Job], model: ModelPair, options: Options) -> int:
    """Segment cases, each into a file of its own.

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
            progress.start(job.name)
            reset_peak()
            try:
                case, line = _run_job(job, model, options, progress)
            except CaseError as error:
                failed.append(job.name)
                progress.clear()
                log.error("%s: %s", job.name, error)
            else:
                if case.problems:
                    incomplete.append(job.name)
                progress.clear()
                log.info(line)
            peaks[job.name] = peak()
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


def _run_job(job: Job, model: ModelPair, options: Options, progress: Progress) -> tuple[Case, str]:
    """Read, segment and write one case; the case, and what the log says of it.

    Raises:
        CaseError: this case cannot be read, segmented or written. A result that an earlier run made is gone then.
    """
    start = time.perf_counter()
    earlier = job.targets
    try:
        with only_case_errors():
            case = _read(job, options.case_bytes)
            if case.warnings or case.problems:
                progress.clear()
            for warning in case.warnings:
                log.warning("%s: %s", job.name, warning)
            for problem in case.problems:
                log.error("%s: %s", job.name, problem)
            segs, plan = segment_within_memory(case, model, options, progress.case_fraction)
            _write(job, segs)
            earlier.remove(job.result)
            if job.overlay:
                write_overlay(job.overlay, case, segs, plan)
    except CaseError as error:
        raise CaseError(f"{error}{_remove(earlier)}") from error
    where = "" if job.boxes is None else f" -> {job.result}"
    return case, f"{job.name}: {describe(case)}, {time.perf_counter() - start:.2f} s{where}"


def _read(job: Job, max_bytes: int) -> Case:
    if job.boxes is None:
        return read_case(job.source, max_bytes)
    return read_picture(job.source, job.boxes, max_bytes)


def _write(job: Job, segs: Array) -> None:
    if job.boxes is None:
        write_segs(job.result, segs)
    else:
        write_mask(job.result, segs)


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


def segment_within_memory(
    case: Case, model: ModelPair, options: Options, on_slice: Callable[[float], None] = lambda _: None
) -> tuple[Array, Plan]:
    """Plan and segment a case within the memory that this process may use; its label map and its plan.

    Raises:
        CaseError: it does not fit.
    """
    plan = plan_of(case, model, options)
    twice = case.is_volume and options.strategy == PROPAGATE and options.overlap != LATER
    options = memory.fit(options, case, slices_painted_twice(plan) if twice else 0)
    return segment(case, plan, model, options, on_slice), plan


def describe(case: Case) -> str:
    """`512x512, 3 boxes` or `23x512x512, 3 boxes`."""
    shape = case.shape if case.is_volume else case.shape[1:]
    count = len(case.boxes)
    return f"{'x'.join(map(str, shape))}, {count} box{'' if count == 1 else 'es'}"
