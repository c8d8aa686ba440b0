"""Volumes segmented from boxes on one slice, against their ground truth and against boxes that give the extent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from inference.cases.case import Case, read_case
from inference.errors import only_case_errors
from inference.memory_limit import case_budget, memory_limit
from inference.options import FIND, GIVEN, PROPAGATE, Options
from inference.segment.segment_case import segment_case
from training.scoring.drawn_boxes import with_drawn_boxes
from training.scoring.label_maps import dimensions_of, read_truth
from training.scoring.means import modality_of
from training.scoring.metrics import case_scores, dice
from training.scoring.validation import Runner, ValidationConfig, naming, truth_of, validation_cases

Row = dict[str, str | int | float | None]


@dataclass(frozen=True)
class Measured:
    """What came of all cases.

    Attributes:
        objects: a row each: `case`, `modality`, `object` (its label), `slice` (that its box is drawn on), `first` and
            `last` slice of its ground truth, `found_first` and `found_last` of its mask, `first_error` and `last_error`
            (slices; above 0 where the mask goes too far, below where it stops short), `dsc_given` and `dsc_found` (of
            the whole object, 0..1). Where nothing was segmented, what was found and the errors are None.
        cases: a row each: `case`, `modality`, `dsc_given`, `nsd_given`, `dsc_found`, `nsd_found`, by `case_scores`.
    """

    objects: list[Row]
    cases: list[Row]


def volumes(root: Path, limit: int | None = None) -> list[Path]:
    """The image files of 3D validation cases, sorted by name. limit: at most so many of each modality.

    Raises:
        ValueError: there are none, or one has no ground truth.
    """
    cases = validation_cases(ValidationConfig(root=str(root), limit=limit, volumes=True))
    chosen = [path for path in cases if dimensions_of(truth_of(path)) == "3D"]
    if not chosen:
        raise ValueError(f"{root / 'imgs'}: holds no volume")
    return chosen


def measure(runner: Runner, paths: Sequence[Path], zoom: bool = True) -> Measured:
    """Segment every volume twice, by propagation: with its boxes as given, and from a box on one slice of each object.

    Raises:
        ValueError: a case cannot be read or segmented; the message names it.
    """
    measured = Measured([], [])
    for path in tqdm(paths, desc="extent", unit="case", disable=None):
        with naming(truth_of(path)) as truth:
            gts, spacing = read_truth(truth)
        with naming(path):
            drawn, given, found = _segment_twice(runner, path, gts, zoom)
            scores = (*case_scores(gts, given, spacing), *case_scores(gts, found, spacing))
        about: Row = {"case": path.name, "modality": modality_of(path.name)}
        columns = ("dsc_given", "nsd_given", "dsc_found", "nsd_found")
        measured.cases.append({**about, **dict(zip(columns, scores, strict=True))})
        for label in (np.flatnonzero(drawn.usable) + 1).tolist():
            drawn_on: Row = {"object": label, "slice": int(drawn.boxes[label - 1, 2])}
            row = object_row(gts == label, given == label, found == label)
            measured.objects.append({**about, **drawn_on, **row})
    return measured


def _segment_twice(runner: Runner, path: Path, gts: np.ndarray, zoom: bool) -> tuple[Case, np.ndarray, np.ndarray]:
    """The case with drawn boxes, and the label maps with the extent given and found."""
    with only_case_errors():
        case = read_case(path, case_budget(memory_limit()))
    if gts.shape != case.shape or not case.is_volume:
        raise ValueError(f"the image has {case.shape} voxels, the ground truth {gts.shape}")
    drawn = with_drawn_boxes(case, gts, path.name)
    with only_case_errors():
        return drawn, segment(case, runner, GIVEN, zoom), segment(drawn, runner, FIND, zoom)


def segment(case: Case, runner: Runner, extent: str, zoom: bool) -> np.ndarray:
    """The label map of a volume. extent: `GIVEN` or `FIND`."""
    options = Options(strategy=PROPAGATE, extent=extent, zoom=zoom)
    return segment_case(case, runner, options, memory_limit()).segs


def object_row(truth: np.ndarray, given: np.ndarray, found: np.ndarray) -> Row:
    """What `Measured.objects` says of an object besides its box, by its masks, bool (D, H, W)."""
    first, last = _extent(truth)
    found_first, found_last = _extent(found) if found.any() else (None, None)
    return {
        "first": first,
        "last": last,
        "found_first": found_first,
        "found_last": found_last,
        "first_error": None if found_first is None else first - found_first,
        "last_error": None if found_last is None else found_last - last,
        "dsc_given": dice(truth, given),
        "dsc_found": dice(truth, found),
    }


def _extent(mask: np.ndarray) -> tuple[int, int]:
    """First and last slice of a mask that is not empty."""
    held = np.flatnonzero(mask.any(axis=(1, 2)))
    return int(held[0]), int(held[-1])
