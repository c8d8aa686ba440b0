"""Making cases of the training tree from images and volumes with label maps, side by side."""

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from inference.cases.intensity import to_grey
from inference.errors import CaseError, SetupError
from inference.options import Window
from training.data.labelled_case import LabelledCase, as_label_map, read_labelled_case, write_labelled_case
from training.data.resample import at_pixel_spacing
from training.data.sources import read_image, read_label_image, read_labels, read_volume


@dataclass(frozen=True)
class Job:
    """One case to make: `make()` reads the sources, the image and its labels, and returns the case."""

    sources: tuple[Path, ...]
    target: Path
    make: Callable[[], LabelledCase]


def make_image_case(image: Path, label: Path, longest_side: int | None, binary_threshold: int | None) -> LabelledCase:
    pixels, labels = _existing(read_image, image), _label(read_label_image, label)
    if binary_threshold is not None:
        labels = (labels > binary_threshold).astype(np.uint8)
    case = LabelledCase(pixels, as_label_map(labels))
    return shrunk(case, longest_side) if longest_side else case


def shrunk(case: LabelledCase, longest_side: int) -> LabelledCase:
    """An image whose sides are at most so long."""
    height, width = case.gts.shape
    scale = longest_side / max(height, width)
    if scale >= 1:
        return case
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    imgs = cv2.resize(case.imgs, size, interpolation=cv2.INTER_AREA)
    return LabelledCase(imgs, cv2.resize(case.gts, size, interpolation=cv2.INTER_NEAREST_EXACT))


def make_volume_case(image: Path, label: Path, ct_window: Window | None, pixel_spacing: float | None) -> LabelledCase:
    values, labels, spacing = _label(read_labels, label, _existing(read_volume, image))
    return at_pixel_spacing(LabelledCase(to_grey(values, ct_window), as_label_map(labels), spacing), pixel_spacing)


def make_npz_case(path: Path, pixel_spacing: float | None) -> LabelledCase:
    return at_pixel_spacing(read_labelled_case(path), pixel_spacing)


def _existing(read: Callable, path: Path, *more: object) -> Any:
    if not path.exists():
        raise CaseError("no such file")
    return read(path, *more)


def _label(read: Callable, path: Path, *more: object) -> Any:
    """A job is reported by the name of its image: errors in the label name the label too."""
    try:
        return _existing(read, path, *more)
    except CaseError as error:
        raise CaseError(f"label {path}: {error}") from error


def is_finished(job: Job) -> bool:
    """Outputs are written atomically, so one that exists is whole; it is out of date if a source is newer."""
    if not all(path.exists() for path in (job.target, *job.sources)):
        return False
    return job.target.stat().st_mtime_ns >= max(path.stat().st_mtime_ns for path in job.sources)


def run_job(job: Job) -> str | None:
    """Make one case; the reason in one line if that is not possible."""
    cv2.setNumThreads(1)  # the processes are the parallelism
    try:
        write_labelled_case(job.target, job.make())
    except (CaseError, SetupError, OSError, ValueError, MemoryError) as error:
        return f"{job.sources[0]}: {' '.join(str(error).split()) or type(error).__name__}"
    return None


def in_parallel(function: Callable, items: Iterable, workers: int, title: str) -> Iterator:
    """Results of `function(item)` from a pool of processes, as they come, under a progress bar.

    Raises:
        SystemExit: a process was killed (out of memory, most often).
    """
    # A fresh server process forks the workers: forking this one would copy locks that its threads may hold.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.data.preparation"])
    with ProcessPoolExecutor(workers, context) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in tqdm(
                as_completed(futures), title, total=len(futures), unit="case", disable=None if futures else True
            ):
                yield future.result()
        except BrokenProcessPool:
            sys.exit("a worker process was killed, most likely for lack of memory: try fewer --workers")


def make_cases(jobs: list[Job], workers: int) -> tuple[int, list[str]]:
    """Do the jobs whose output is missing or older than its source; a line on standard error for each that fails.

    Returns:
        How many were to be done, and these lines.

    Raises:
        SystemExit: two jobs have one output, or a process was killed.
    """
    refuse_collisions(jobs)
    to_do = [job for job in jobs if not is_finished(job)]
    errors = []
    for error in in_parallel(run_job, to_do, workers, "prepare"):
        if error:
            errors.append(error)
            tqdm.write(error, file=sys.stderr)
    return len(to_do), errors


def refuse_collisions(jobs: list[Job]) -> None:
    sources: dict[Path, Path] = {}
    for job in jobs:
        if job.target in sources:
            sys.exit(f"{sources[job.target]} and {job.sources[0]} would both become {job.target}")
        sources[job.target] = job.sources[0]
