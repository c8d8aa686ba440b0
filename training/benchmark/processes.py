"""Running whole processes in turn, with their wall time and peak memory.

This file, and whatever process uses it, stays small on purpose: Linux counts the parent's memory at the moment of the
start as a part of a child's peak.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO

ROOT = Path(__file__).resolve().parents[2]


class BenchmarkError(Exception):
    """A process failed; the message names it and the last line that it wrote."""


@dataclass(frozen=True)
class Run:
    """One process from start to end.

    Attributes:
        started: when, seconds of `time.perf_counter`, which all processes of a machine share.
        seconds: wall time.
        cpu_seconds: of all cores, which other work on the machine disturbs less.
        peak_mb: largest resident memory, MiB.
        output: its standard output.
    """

    started: float
    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


@dataclass
class Contender:
    """One row: a command, and the runs it has had.

    Attributes:
        repeats: how often it is to run.
        warm_up: run it once before it counts, so that files and compiled models are where later runs find them.
        variables: of its environment alone.
    """

    name: str
    command: list[str]
    repeats: int
    warm_up: bool = True
    variables: dict[str, str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return median(run.seconds for run in self.runs)

    @property
    def peak_mb(self) -> float:
        return median(run.peak_mb for run in self.runs)


def paired_ratio(over: Contender, under: Contender, figure: Callable[[Run], float]) -> float:
    """The median over rounds of how many times as much the one takes as the other."""
    return median(figure(a) / figure(b) for a, b in zip(over.runs, under.runs, strict=True))


def python(*arguments: str | Path, interpreter: str | Path = sys.executable) -> list[str]:
    """The command that runs this interpreter with `arguments`."""
    return [str(interpreter), *map(str, arguments)]


def environment(work: Path) -> dict[str, str]:
    """The children's environment: bytecode is kept, as in the container, but in the work folder."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(work.resolve() / "bytecode")}


def run_process(command: list[str], env: dict[str, str]) -> Run:
    """Run one process in the repository's root and measure it.

    Raises:
        BenchmarkError: it cannot be started or ends with an error.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        try:
            process = subprocess.Popen(command, stdout=output, stderr=errors, cwd=ROOT, env=env)
        except OSError as error:
            raise BenchmarkError(f"{command[0]}: {error.strerror}") from error
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)  # reaped here, not by subprocess
        if process.returncode != 0:
            raise BenchmarkError(f"{' '.join(command)}\n  {_last_line(errors) or f'status {process.returncode}'}")
        output.seek(0)
        cpu_seconds, peak_mb = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
        return Run(started, seconds, cpu_seconds, peak_mb, output.read().decode(errors="replace"))


def interleave(
    contenders: Sequence[Contender], env: dict[str, str], on_run: Callable[[str], object] = lambda _: None
) -> None:
    """Give every contender its runs in rounds, so that a slow minute of the machine hits all of them.

    on_run: called with the contender's name before every run.

    Raises:
        BenchmarkError: a run failed.
    """
    for contender in contenders:
        if contender.warm_up:
            on_run(f"{contender.name}, warming up")
            run_process(contender.command, env | contender.variables)
    for _ in range(max(contender.repeats for contender in contenders)):
        for contender in contenders:
            if len(contender.runs) < contender.repeats:
                on_run(contender.name)
                contender.runs.append(run_process(contender.command, env | contender.variables))


def _last_line(file: IO[bytes]) -> str:
    file.seek(0)
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
