"""No run writes over a file that it reads, nor over a result of its own; what would is refused before any work.

Files are compared, not their names: other ways to the same folder, symbolic and hard links are seen through.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import SetupError
from .jobs import Job, targets


def refuse_overwriting(jobs: Sequence[Job], read: Iterable[Path]) -> None:
    """Check where the jobs write to.

    Args:
        read: all files that the run reads.

    Raises:
        SetupError: a job would replace one of them, or two files would be written to the same place.
    """
    originals = {_file(path): path for path in read}
    places: dict[object, Path] = {}
    for job in jobs:
        if job.overlay and _place(job.overlay) == _place(job.result):
            raise SetupError(f"{job.overlay}: masks and overlay would both be written there; choose another folder")
        for target in targets(job):
            if original := originals.get(_file(target)):
                raise SetupError(f"{target}: would replace {original}, which this run reads; choose another place")
            other = places.setdefault(_place(target), job.source)
            if other != job.source:
                raise SetupError(f"{target}: would be the result of {other} and of {job.source}; rename one of them")


def refuse_input_folder(inputs: Path, outputs: Path, overlays: Path | None) -> None:
    """Check that nothing is written into the folder of the cases, whatever lies there today.

    Raises:
        SetupError: it would be.
    """
    if _folder(outputs) == _folder(inputs):
        raise SetupError(f"{outputs}: results have the names of their cases and would replace them")
    if overlays and _folder(overlays) == _folder(inputs):
        raise SetupError(f"{overlays}: overlays might replace pictures beside the cases; choose another folder")


def _file(path: Path) -> object:
    """The same for all paths to a file; of one that is absent, its place."""
    return _inode(path) or _place(path)


def _place(path: Path) -> object:
    """The same for all paths to an entry of a folder, which is what a new file replaces."""
    return _folder(path.parent), path.name


def _folder(path: Path) -> object:
    return _inode(path) or os.path.realpath(path)


def _inode(path: Path) -> object:
    """What lies at a path once the folders on the way are made (`new/..` leads nowhere before); None if nothing."""
    try:
        status = os.stat(os.path.realpath(path))
    except OSError:
        return None
    return status.st_dev, status.st_ino
