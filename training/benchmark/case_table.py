"""Table (b): whole runs over the cases of QMedSAM's Table 8, the reference pipeline against the runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from training.benchmark.case_specs import CaseSpec
from training.benchmark.isa import ISAS, NATIVE, VARIABLE, variables
from training.benchmark.processes import Contender, python
from training.benchmark.tables import Row
from training.benchmark.workplace import Workplace

IMPORTS, REFERENCE = "imports", "reference"
FLOAT32, INT8, LIGHT = "litemedsam-float32", "litemedsam-int8", "light"
CONTENDERS = (IMPORTS, REFERENCE, FLOAT32, INT8, LIGHT)
# LiteMedSAM runs in the reference's ways, so that its masks are the same; the light model runs as it ships.
SAME_WAYS = ("--strategy", "propagate", "--overlap", "later")
# The reference runs a case of this many box-slices as it stands. Of longer ones it runs two parts of so many each.
FULL_UP_TO = 6
PARTS = (1, 5)


@dataclass(frozen=True)
class Extrapolated:
    """What two timed parts say about the whole: a constant for start, reading and writing, and a time per box-slice.

    Attributes:
        parts: the contenders that ran `PARTS` box-slices.
        box_slices: number in the whole case.
    """

    parts: Sequence[Contender]
    box_slices: int

    @property
    def seconds(self) -> float:
        few, many = (part.seconds for part in self.parts)
        return few + (many - few) / (PARTS[1] - PARTS[0]) * (self.box_slices - PARTS[0])

    @property
    def note(self) -> str:
        return f"extrapolated from {PARTS[0]} and {PARTS[1]} of {self.box_slices} box-slices"


class Repeats(NamedTuple):
    """How often the contenders run: the runtime and the imports, the reference, and whether the latter ever in full."""

    runtime: int
    reference: int
    full_reference: bool


def case_table(
    place: Workplace,
    specs: Sequence[CaseSpec],
    pairs: Mapping[str, Path],
    checkpoint: Path | None,
    imports: bool,
    repeats: Repeats,
    isas: Sequence[str] = (NATIVE,),
) -> None:
    """Run all contenders on every case; print a table per case, and write all rows into cases.csv.

    pairs: the runtime's contenders. checkpoint: the reference's, None to leave it out. imports: with bare imports.
    isas: the instruction sets that each of the runtime's contenders is held to in turn, of `ISAS`.

    Raises:
        BenchmarkError: a process failed.
    """
    rows: list[Row] = []
    for spec in specs:
        path, box_slices = place.case(spec)
        contenders = [imports_contender(place, repeats.runtime)] if imports else []
        contenders += [
            runtime_contender(name, path, pair, place, repeats.runtime, isa)
            for name, pair in pairs.items()
            for isa in isas
        ]
        reference: list[Contender] = []
        if checkpoint:
            is_whole = repeats.full_reference or box_slices <= FULL_UP_TO
            paths = [path] if is_whole else [place.case(spec, part)[0] for part in PARTS]
            reference = [reference_contender(path, checkpoint, place.segs, repeats.reference) for path in paths]
        place.run(spec.name, [*reference, *contenders])
        if len(reference) == len(PARTS):
            new = case_rows(spec.name, contenders, Extrapolated(reference, box_slices))
        else:
            new = case_rows(spec.name, [*reference, *contenders], None)
        place.report("cases", new, before=rows)
        rows += new


def imports_contender(place: Workplace, repeats: int) -> Contender:
    """What no run of the runtime can be quicker than."""
    return Contender(IMPORTS, python("-c", "import numpy, cv2, openvino", interpreter=place.runtime), repeats)


def reference_contender(case: Path, checkpoint: Path, segs: Path, repeats: int) -> Contender:
    """The baseline's way in eager PyTorch. Minutes, not milliseconds: no run of it is spent on warming up."""
    files = ["-i", case, "-o", segs / REFERENCE, "--checkpoint", checkpoint]
    return Contender(REFERENCE, python("-m", "training.reference", *files, *SAME_WAYS), repeats, warm_up=False)


def runtime_contender(name: str, case: Path, pair: Path, place: Workplace, repeats: int, isa: str) -> Contender:
    """One case through the command line: the light model with its defaults, LiteMedSAM in the reference's ways."""
    # OpenVINO refuses a model that was compiled for another instruction set, and its successor replaces it: each has a
    # cache of its own.
    cache = place.compiled / isa
    files = ["-i", case.parent, "-o", place.segs / name, "--weights", pair, "--cache", cache]
    ways = [] if name == LIGHT else [*SAME_WAYS, "--no-zoom"]
    command = python("-m", "inference", *files, *ways, *ISAS[isa], interpreter=place.runtime)
    return Contender(name, command, repeats, variables=variables(isa))


def case_rows(case: str, contenders: Sequence[Contender], extrapolated: Extrapolated | None) -> list[Row]:
    """One row per contender, with its ratios to the reference and to bare imports.

    extrapolated: the reference, where it was not run in full.
    """
    times = {contender.name: contender.seconds for contender in contenders if contender.name in (IMPORTS, REFERENCE)}
    rows: list[Row] = []
    if extrapolated:
        times[REFERENCE] = extrapolated.seconds
        rows.append(_row(case, extrapolated.seconds, times, extrapolated.parts[1], extrapolated.note))
    return rows + [_row(case, contender.seconds, times, contender, "") for contender in contenders]


def _row(case: str, seconds: float, times: Mapping[str, float], measured: Contender, note: str) -> Row:
    """times: seconds of the imports and of the reference, where they were run."""
    return {
        "case": case,
        "contender": measured.name,
        "isa": measured.variables.get(VARIABLE, NATIVE),
        "seconds": seconds,
        "faster_than_reference": times[REFERENCE] / seconds if REFERENCE in times else None,
        "times_imports": seconds / times[IMPORTS] if IMPORTS in times else None,
        "peak_mb": measured.peak_mb,
        "runs": len(measured.runs),
        "note": note,
    }
