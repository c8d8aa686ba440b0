"""What `qmedsam segment` does."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cli import left_to_do, run_program
from ..errors import EXIT_CASE_FAILED, EXIT_OK, CaseError, SetupError
from .arguments import FORMATS, parse

if TYPE_CHECKING:
    from ..jobs import Job
    from ..model.pair import ModelPair
    from .file_job import FileJob, Findings
    from .inputs import Input

log = logging.getLogger("qmedsam")

COCO_NAME = "coco{}.json"


def main(arguments: Sequence[str] | None = None, keep: Callable[["ModelPair"], object] = lambda model: None) -> int:
    """Run the command line; returns the exit status (see `inference.files.arguments.EPILOG`).

    Args:
        keep: as of `inference.cli.main`.

    Raises:
        SystemExit: the command line is wrong, or asks for help only; or a signal stopped the run.
    """
    run = FilesRun()
    try:
        status = run_program(parse, run.find_jobs, sys.argv[1:] if arguments is None else arguments, keep)
    finally:  # a run that is stopped tells what it has found
        is_told = run.tell()
    return status if is_told or status != EXIT_OK else EXIT_CASE_FAILED


class FilesRun:
    """A run over files: what is to be done, and what is told of it all together when it is done."""

    def __init__(self) -> None:
        self.parsed: argparse.Namespace | None = None
        self.jobs: Sequence[FileJob] = ()
        self.findings: Findings | None = None
        self.is_coco = False

    def find_jobs(self, parsed: argparse.Namespace, weights: Iterable[str]) -> Sequence["Job"]:
        """As `inference.cli.run_program` wants it; nothing is lost by the jobs.

        Raises:
            SetupError: input, boxes or output are unusable.
        """
        from ..jobs import make_writable
        from ..overwriting import refuse_input_folder, refuse_overwriting
        from .extra import simpleitk
        from .file_job import FileJob, Findings
        from .image import Choice
        from .inputs import PICTURE, all_files, find_inputs

        inputs, are_many = find_inputs(parsed.input)
        if are_many and parsed.output.name.lower().endswith(FORMATS) and not parsed.output.is_dir():
            raise SetupError(f"{parsed.input} is a folder of images: -o is a folder for their masks, not a file")
        if parsed.input.is_dir():
            refuse_input_folder(parsed.input, parsed.output if are_many else parsed.output.parent, parsed.overlay)
        if any(some.kind != PICTURE for some in inputs):
            simpleitk()  # what is missing is said before any work
        self.findings, choice = Findings(), Choice(parsed.volume, parsed.series, parsed.modality)
        boxes = _Boxes(parsed, are_many)
        chosen = inputs[parsed.shard.part - 1 :: parsed.shard.parts]
        jobs = [
            FileJob(
                some,
                parsed.output / _result_name(some, parsed.format) if are_many else parsed.output,
                parsed.overlay / f"{some.stem}.png" if parsed.overlay else None,
                boxes.of(some), boxes.mask_of(some), choice, parsed.window, bool(parsed.report), self.findings,
                tells_result=not are_many,
            )
            for some in chosen
        ]  # fmt: skip
        read = [*all_files(inputs), *boxes.files(chosen), *(parsed.weights / name for name in weights)]
        refuse_overwriting(jobs, read)
        if parsed.report and parsed.report.resolve() in {path.resolve() for path in read}:
            raise SetupError(f"{parsed.report}: would replace a file which this run reads; choose another place")
        if parsed.report:
            make_writable(parsed.report.parent)
        self.parsed, self.jobs = parsed, jobs
        self.is_coco = are_many and any(job.input.kind == PICTURE for job in jobs) and boxes.have_files
        return left_to_do(jobs, parsed.skip_existing)

    def tell(self) -> bool:
        """Write the report and COCO's masks, if they are wanted; whether that went well."""
        if self.parsed is None or self.findings is None:
            return True
        from .report import write_report

        try:
            if self.parsed.report:
                write_report(self.parsed.report, self.findings.rows)
            if self.is_coco:
                self._write_coco(self.parsed)
        except OSError as error:
            log.error("%s: cannot be written (%s)", error.filename or self.parsed.report, error.strerror or error)
            return False
        return True

    def _write_coco(self, parsed: argparse.Namespace) -> None:
        """Masks of all pictures whose results are there, of this run or, with --skip-existing, of an earlier one."""
        import cv2

        from ..atomic import write_atomically
        from .coco import Segmented, coco_images
        from .inputs import PICTURE
        from .prompts import objects_of

        pictures = []
        for job in self.jobs:
            segs = cv2.imread(str(job.result), cv2.IMREAD_UNCHANGED) if job.result.is_file() else None
            if segs is None or job.input.kind != PICTURE:
                continue
            own = self.findings.objects.get(job.source.name) if self.findings else None
            pictures.append(Segmented(job.source.name, segs, own or objects_of(job.own_prompts, None)))
        if not pictures:
            return
        part = "" if parsed.shard.parts == 1 else f"-{parsed.shard.part}-of-{parsed.shard.parts}"
        text = json.dumps(coco_images(pictures))
        write_atomically(parsed.output / COCO_NAME.format(part), lambda file: file.write(text.encode()))


def _result_name(given: "Input", format: str | None) -> str:
    """The name of a result in a folder: that of its image, with the ending of the format."""
    from .inputs import DICOM, ITK
    from .itk import ending
    from .label_file import WRITTEN

    if format:
        return given.stem + format
    if given.kind == DICOM:
        return given.stem + ".seg.dcm"
    if given.kind == ITK:
        own = ending(given.path)
        return given.stem + (own if own in WRITTEN else {".nhdr": ".nrrd", ".mhd": ".mha"}[own])
    return given.stem + ".png"


class _Boxes:
    """The boxes of a run, from wherever they come; files are read once, before any work."""

    def __init__(self, parsed: argparse.Namespace, are_many: bool) -> None:
        """Read them.

        Raises:
            SetupError: a file of boxes is unusable.
        """
        from .prompts import PATIENT, VOXELS, Prompt

        self._parsed, self._are_many = parsed, are_many
        self._common = [Prompt(numbers, PATIENT if parsed.world else VOXELS) for numbers in parsed.box]
        for path in parsed.boxes:
            if not path.is_dir():
                self._common += self._read(path)
        self.have_files = bool(parsed.boxes)

    def of(self, given: "Input") -> Sequence[Any]:
        """The boxes for an image, those of other files among them."""
        own = list(self._common)
        for path in self._own_files(given):
            own += self._read(path)
        return own

    def mask_of(self, given: "Input") -> Path | None:
        """The rough mask of an image."""
        source: Path | None = self._parsed.box_from
        if source is None or not self._are_many or not source.is_dir():
            return source
        from ..jobs import SCANS

        names = [given.path.name, *(given.stem + ending for ending in SCANS)]
        return next((source / name for name in names if (source / name).is_file()), source / given.path.name)

    def files(self, inputs: Iterable["Input"]) -> list[Path]:
        """All files that are read for boxes."""
        files = [path for path in self._parsed.boxes if not path.is_dir()]
        for given in inputs:
            files += self._own_files(given)
            if mask := self.mask_of(given):
                files.append(mask)
        return files

    def _own_files(self, given: "Input") -> list[Path]:
        """Of the folders of boxes, the files named after an image."""
        folders = [path for path in self._parsed.boxes if path.is_dir()]
        names = [
            f"{stem}{ending}" for stem in (given.stem, given.path.name) for ending in (".json", ".csv", ".mrk.json")
        ]
        return [folder / name for folder in folders for name in dict.fromkeys(names) if (folder / name).is_file()]

    def _read(self, path: Path) -> list[Any]:
        from .boxes import read_boxes

        try:
            return list(read_boxes(path, self._parsed.world))
        except CaseError as error:
            raise SetupError(f"{path}: {error}") from error
