"""What a run has to do: which file each case is read from, and which files are written for it."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from .atomic import check_writable, remove_stale
from .errors import SetupError

KINDS_NAMED = 3  # a message names this many kinds of files at most
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


class Job(NamedTuple):
    """One case.

    Attributes:
        source: the file it is read from: an npz case, or a picture where `boxes` come with it.
        result: the file for its masks.
        overlay: the PNG that shows them, or None.
        boxes: of a picture, each `x_min, y_min, x_max, y_max` in its pixels; None for a case, which holds its own.
    """

    source: Path
    result: Path
    overlay: Path | None = None
    boxes: list[list[float]] | None = None

    @property
    def name(self) -> str:
        """What the log calls it: the name of its file on one line, whatever bytes that is made of."""
        return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in self.source.name)

    @property
    def targets(self) -> list[Path]:
        """The files that it writes."""
        return [self.result, self.overlay] if self.overlay else [self.result]


def picture_job(image: Path, boxes: list[list[float]], mask: Path, overlays: Path | None = None) -> Job:
    """One picture; its overlay goes to the folder `overlays`."""
    return Job(image, mask, overlays / f"{image.stem}.png" if overlays else None, boxes)


def folder_jobs(cases: Iterable[Path], outputs: Path, overlays: Path | None = None) -> list[Job]:
    """Cases, each to a result of the same name in the folder `outputs`, and to a picture in `overlays`."""
    return [Job(path, outputs / path.name, overlays / f"{path.stem}.png" if overlays else None) for path in cases]


def case_paths(inputs: Path) -> list[Path]:
    """The `*.npz` files of a folder, by name; hidden ones are not cases.

    Raises:
        SetupError: the folder is missing or unreadable, or holds none.
    """
    try:
        visible = [path for path in inputs.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise SetupError(f"{inputs}: cannot read the input folder ({error.strerror})") from error
    cases = sorted(path for path in visible if path.suffix == ".npz")
    if not cases:
        raise SetupError(f"{inputs}: no cases in it, which are *.npz files; {_found(visible)}")
    return cases


def _found(files: Sequence[Path]) -> str:
    """What lies in a folder in place of cases, and what to do with it."""
    if not files:
        return "the folder is empty"
    kinds = Counter("folder" if path.is_dir() else _kind(path) for path in files).most_common()
    named = ", ".join(f"{count} {kind}" for kind, count in kinds[:KINDS_NAMED])
    more = " and others" if len(kinds) > KINDS_NAMED else ""
    hint = "; pictures go one by one with --image" if any(kind in PICTURES for kind, _ in kinds) else ""
    return f"found {named}{more}{hint}"


def _kind(path: Path) -> str:
    """`.nii.gz`, `.png`; `file` where the name has no ending."""
    return "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]).lower() or "file"


def is_done(job: Job) -> bool:
    """Whether its result is there, and made since the case was last changed."""
    try:
        return job.result.is_file() and job.result.stat().st_mtime_ns >= job.source.stat().st_mtime_ns
    except OSError:
        return False


def make_folders(jobs: Sequence[Job]) -> None:
    """Make the folders that the jobs write to, unless they are there, and see that files can be made in them.

    Raises:
        SetupError: one cannot be made or written to.
    """
    for folder in dict.fromkeys(target.parent for job in jobs for target in job.targets):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            check_writable(folder)
        except OSError as error:
            reason = f"user {os.geteuid()}: {error.strerror}"
            raise SetupError(f"{folder}: cannot write to the output folder ({reason})") from error
        remove_stale(folder)
