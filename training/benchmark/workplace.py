"""The folders of a benchmark: what is made for it once and kept, and where its results go."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from training.benchmark.case_specs import CaseSpec
from training.benchmark.measured_table import measured_table
from training.benchmark.processes import BenchmarkError, Contender, environment, interleave, python, run_process
from training.benchmark.tables import Row

LITEMEDSAM, MEDSAM = "litemedsam", "medsam_vit_b"


class Weights(NamedTuple):
    """One model for all contenders: a checkpoint for PyTorch, two pairs of ONNX files for the other engines."""

    checkpoint: Path
    float32: Path
    int8: Path


class Workplace:
    """Cases and weights, made on demand by processes of their own, so that this one stays small (see `processes`)."""

    def __init__(self, val: Path, work: Path, out: Path, runtime: str | Path = sys.executable) -> None:
        """val: validation cases. work: what is made and kept. out: the tables.
        runtime: the Python that what starts cold is run with, by its absolute path."""
        self.val, self.work, self.out, self.runtime = val.resolve(), work.resolve(), out, runtime
        if not (self.val / "imgs").is_dir():
            raise BenchmarkError(f"{val}: has no folder 'imgs' with validation cases")
        self.compiled, self.segs = self.work / "compiled", self.work / "segs"
        self.env = environment(self.work)

    def weights(self, model: str) -> Weights:
        """Untrained weights of a model."""
        folder = self.work / "weights" / model
        print(f"weights of {model}: {folder}")
        command = python("-m", "training.benchmark.weights", "--model", model, "--val", self.val, "--out", folder)
        run_process(command, self.env)
        return Weights(folder / "checkpoint.pt", folder / "float32", folder / "int8")

    def case(self, spec: CaseSpec, part: int = 0) -> tuple[Path, int]:
        """The file of a case, or of its part with so many box-slices, and the number of its box-slices."""
        options = ["--val", self.val, "--out", self.work / "cases", "--only", spec.name, "--part", str(part)]
        path, box_slices = run_process(python("-m", "training.benchmark.cases", *options), self.env).output.split()
        return Path(path), int(box_slices)

    def run(self, title: str, contenders: Sequence[Contender]) -> None:
        """Run all contenders in turn, with a progress bar on a terminal."""
        total = sum(contender.repeats + contender.warm_up for contender in contenders)
        with tqdm(total=total, desc=title, unit="run", disable=None, leave=False) as bar:

            def show(name: str) -> None:
                bar.set_postfix_str(name)
                bar.update()

            interleave(contenders, self.env, show)

    def report(self, name: str, rows: Sequence[Row], before: Sequence[Row] = ()) -> None:
        """Print a table, and write it, below the rows that came before, to `name`.csv (see `measured_table`)."""
        measured_table(rows, self.out / f"{name}.csv", before)
