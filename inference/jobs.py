"""What a run has to do: which file each case is read from, and which files are written for it."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .atomic import check_writable, remove_stale
from .errors import SetupError

if TYPE_CHECKING:
    from .arrays import Array
    from .cases.case import Case

KINDS_NAMED = 3  # a message names this many kinds of files at most
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
SCANS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


class Job(Protocol):
    """One case: where it is read from, where its masks go, and how both are done."""

    @property
    def source(self) -> Path:
        """The file or folder it is read from."""

    @property
    def result(self) -> Path:
        """The file for its masks."""

    @property
    def overlay(self) -> Path | None:
        """The PNG that shows them, or None."""

    @property
    def is_volume(self) -> bool:
        """Whether it most likely is a volume: a hint, by which models are loaded before the case is read."""

    @property
    def box_count(self) -> int:
        """How many boxes it most likely has: another such hint."""

    @property
    def tells_result(self) -> bool:
        """Whether the log says where the masks are."""

    def read(self, max_bytes: int) -> "Case":
        """Read and check the case, in as much memory.

        Raises:
            CaseError: it cannot be segmented.
        """

    def write(self, case: "Case", segs: "Array") -> None:
        """Write the masks to `result`, whole or not at all.

        Args:
            case: what `read` returned.
            segs: its label map (see `inference.segment.segment_case`).

        Raises:
            CaseError: the format cannot hold them.
            OSError: the folder is not writable, or the disk is full.
        """


class CaseJob(NamedTuple):
    """An npz case, which holds its own boxes."""

    source: Path
    result: Path
    overlay: Path | None = None
    tells_result: bool = False

    @property
    def is_volume(self) -> bool:
        """By the names of the challenge."""
        return self.source.name.startswith("3DBox_")

    @property
    def box_count(self) -> int:
        """As the header of its boxes says."""
        from .cases.box_count import box_count

        return box_count(self.source)

    def read(self, max_bytes: int) -> "Case":
        """As `Job` says."""
        from .cases.case import read_case

        return read_case(self.source, max_bytes)

    def write(self, case: "Case", segs: "Array") -> None:
        """As `Job` says."""
        from .cases.npz import write_segs

        write_segs(self.result, segs)


class PictureJob(NamedTuple):
    """A picture, with boxes `x_min, y_min, x_max, y_max` in its pixels; its masks become a picture too."""

    source: Path
    result: Path
    overlay: Path | None
    boxes: list[list[float]]
    tells_result: bool = True
    is_volume: bool = False

    @property
    def box_count(self) -> int:
        """As `Job` says."""
        return len(self.boxes)

    def read(self, max_bytes: int) -> "Case":
        """As `Job` says."""
        from .cases.picture import read_picture  # imported only where it is used: a start counts in ms

        return read_picture(self.source, self.boxes, max_bytes)

    def write(self, case: "Case", segs: "Array") -> None:
        """As `Job` says."""
        from .cases.picture import write_mask

        write_mask(self.result, segs)


def shown_name(job: Job) -> str:
    """What the log calls a job: the name of its file on one line, whatever bytes that is made of."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in job.source.name)


def targets(job: Job) -> list[Path]:
    """The files that a job writes."""
    return [job.result, job.overlay] if job.overlay else [job.result]


def picture_job(image: Path, boxes: list[list[float]], mask: Path, overlays: Path | None = None) -> PictureJob:
    """One picture; its overlay goes to the folder `overlays`."""
    return PictureJob(image, mask, overlays / f"{image.stem}.png" if overlays else None, boxes)


def folder_jobs(cases: Iterable[Path], outputs: Path, overlays: Path | None = None) -> list[CaseJob]:
    """Cases, each to a result of the same name in the folder `outputs`, and to a picture in `overlays`."""
    return [CaseJob(path, outputs / path.name, overlays / f"{path.stem}.png" if overlays else None) for path in cases]


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
    hint = "; `segment` takes such files" if any(kind in (*PICTURES, *SCANS, ".dcm") for kind, _ in kinds) else ""
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
    for folder in dict.fromkeys(target.parent for job in jobs for target in targets(job)):
        make_writable(folder)


def make_writable(folder: Path) -> None:
    """Make a folder, unless it is there, and see that files can be made in it.

    Raises:
        SetupError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder)
    except OSError as error:
        reason = f"user {os.geteuid()}: {error.strerror}"
        raise SetupError(f"{folder}: cannot write to the output folder ({reason})") from error
    remove_stale(folder)
