"""An image file as a job of a run: read with its boxes, segmented, its masks written as the user's format."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..arrays import Array
from ..cases.case import Case
from ..errors import CaseError, FormatError
from ..options import MASK_SUFFIXES, Window
from . import dicom_seg
from .coco import base_name
from .dicom import read_dicom
from .file_case import FileCase, file_case, picture_case
from .image import Choice, Image
from .inputs import DICOM, PICTURE, Input
from .itk import read_itk
from .label_file import WRITTEN, check_ending, labels_of, write_label_file
from .label_map import label_map_prompts
from .prompts import Object, Prompt, objects_of
from .report import Row, measure


@dataclass
class Findings:
    """What a run gathers from its cases: rows of the report, and the objects of its pictures."""

    rows: list[Row] = field(default_factory=list)
    objects: dict[str, Sequence[Object]] = field(default_factory=dict)


@dataclass(frozen=True)
class FileJob:
    """See `inference.jobs.Job`.

    Attributes:
        prompts: boxes, those of other files among them.
        mask: a rough label map that gives boxes too; None where there is none.
        choice, window: how the image is to be read and shown.
        is_measured: whether a report is made.
        findings: where what the run is to tell of this case goes.
    """

    input: Input
    result: Path
    overlay: Path | None
    prompts: Sequence[Prompt]
    mask: Path | None
    choice: Choice
    window: Window | None
    is_measured: bool
    findings: Findings
    tells_result: bool = True

    @property
    def source(self) -> Path:
        """The file or folder."""
        return self.input.path

    @property
    def is_volume(self) -> bool:
        """Whether it most likely is a volume."""
        return self.input.kind != PICTURE

    @property
    def box_count(self) -> int:
        """How many boxes it most likely has."""
        return len(self.own_prompts)

    @property
    def own_prompts(self) -> list[Prompt]:
        """The boxes that are for this image."""
        return [prompt for prompt in self.prompts if not prompt.file or _is_named(prompt.file, self.input)]

    def read(self, max_bytes: int) -> FileCase:
        """The image and its objects."""
        own = self.own_prompts
        if self.input.kind == PICTURE:
            return self._read_picture(own, max_bytes)
        check_ending(self.result, self._formats())
        read = read_dicom if self.input.kind == DICOM else read_itk
        image = read(self.input.path, self.choice, max_bytes)
        if self._is_flat and 1 not in image.grid.size:
            raise FormatError(f"a volume is written as {', '.join(WRITTEN)}, a picture holds one slice")
        if self.mask:
            own = [*own, *_from_mask(self.mask, image, max_bytes)]
        objects = objects_of(own, image.grid)
        if self._is_seg:
            dicom_seg.check_seg_fits(objects, image.grid.size, max_bytes)
        return file_case(image, objects, self.window, self.is_measured)

    def write(self, case: Case, segs: Array) -> None:
        """The label map, in the order of the file."""
        assert isinstance(case, FileCase)
        if case.image is None or case.layout is None:
            self._write_picture(case, segs)
        else:
            arranged = labels_of(segs, case.objects).reshape(case.shape)
            stored = case.layout.restore(arranged)
            if self._is_flat:
                self._write_flat(stored)
            elif self._is_seg:
                thickness = case.image.grid.spacing[2]
                dicom_seg.write_dicom_seg(self.result, stored, case.image.slices, thickness, case.objects)
            else:
                write_label_file(self.result, stored, case.image.grid, case.objects)
        if self.is_measured:
            self.findings.rows += measure(self.input.path.name, case, segs)

    @property
    def _is_flat(self) -> bool:
        return self.result.name.lower().endswith(MASK_SUFFIXES)

    @property
    def _is_seg(self) -> bool:
        return self.result.name.lower().endswith(dicom_seg.ENDINGS)

    def _formats(self) -> tuple[str, ...]:
        return (*WRITTEN, *MASK_SUFFIXES, *(dicom_seg.ENDINGS if self.input.kind == DICOM else ()))

    def _read_picture(self, own: Sequence[Prompt], max_bytes: int) -> FileCase:
        from ..cases.picture import read_picture

        if self.mask:
            raise CaseError("pictures take boxes, no rough masks")
        if self.window:
            raise CaseError("pictures have no --window")
        check_ending(self.result, MASK_SUFFIXES)
        objects = objects_of(own, None)
        case = read_picture(self.input.path, [item.box[[0, 1, 3, 4]].tolist() for item in objects], max_bytes)
        self.findings.objects[self.input.path.name] = objects
        return picture_case(case, objects)

    def _write_picture(self, case: FileCase, segs: Array) -> None:
        from ..cases.picture import write_mask

        write_mask(self.result, labels_of(segs, case.objects))

    def _write_flat(self, stored: Array) -> None:
        from ..cases.picture import write_mask

        write_mask(self.result, np.ascontiguousarray(np.squeeze(stored, axis=stored.shape.index(1))))


def _is_named(file: str, given: Input) -> bool:
    """Whether boxes that name a file are for this one; its ending may be left out."""
    return base_name(file) in (given.path.name, given.stem)


def _from_mask(path: Path, image: Image, max_bytes: int) -> list[Prompt]:
    try:
        return label_map_prompts(path, image, max_bytes - image.values.nbytes)
    except CaseError as error:
        raise CaseError(f"boxes from {path.name}: {error}") from error
