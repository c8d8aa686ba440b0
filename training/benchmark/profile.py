"""`--profile`: where a cold run spends its time, and where the encoder's time goes by operation."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from training.benchmark.case_specs import CaseSpec
from training.benchmark.processes import python, run_process
from training.benchmark.tables import Row
from training.benchmark.workplace import Workplace

Event = tuple[str, str, float, float]  # stage, thread, start, end; seconds


MAIN = "MainThread"
ENCODER = "encoder.onnx"
WEIGHTED = ("Convolution", "GroupConvolution", "Deconvolution", "FullyConnected")
PURPOSES = {
    **dict.fromkeys(("MatMul", "Softmax"), "attention in products and softmax"),
    **dict.fromkeys(("Transpose", "Pad", "Gather", "Reorder"), "transposes, pads, gathers and reorders"),
    "MVN": "layer normalisation",
}


def profile(place: Workplace, case: CaseSpec, pairs: Mapping[str, Path], repeats: int) -> None:
    """For every pair, print and write as CSV: a cold run over a case by stage, and its encoder by operation.

    Raises:
        BenchmarkError: a process failed.
    """
    path, _ = place.case(case)
    for name, pair in pairs.items():
        print(f"\n{name}: {case.name}, the quickest of {repeats} cold runs; indented stages lie within the one above")
        place.report(f"profile_stages_{name}", cold_run_rows(path, pair, place, repeats))
        print(f"\n{name}: encoder, one image, warm")
        rows = operation_rows(pair / ENCODER, place.env)
        place.report(f"profile_encoder_{name}", rows)
        place.report(f"profile_encoder_{name}_by_purpose", purpose_rows(rows))


def cold_run_rows(case: Path, pair: Path, place: Workplace, repeats: int) -> list[Row]:
    """The stages of the quickest of `repeats` cold runs of one case; quickest, as disturbances only ever add.

    Raises:
        BenchmarkError: the run failed.
    """
    report = place.work / "profile.json"
    options = ["-i", case.parent, "-o", place.segs / "profile", "--weights", pair, "--cache", place.compiled]
    timelines = []
    for _ in range(1 + repeats):  # the first one warms up
        run = run_process(python("-m", "training.benchmark.profiled_run", report, *options), place.env)
        told = json.loads(report.read_text())
        start: Event = ("interpreter start", MAIN, run.started, told["began"])
        end: Event = ("interpreter exit", MAIN, told["ended"], run.started + run.seconds)
        timelines.append((run.seconds, [start, *map(tuple, told["events"]), end]))
    return stage_rows(min(timelines[1:])[1])


def stage_rows(events: list[Event]) -> list[Row]:
    """One row per stage and thread, by first start: when it first began, how long all its calls took, when the last of
    them ended, how many they were.

    A stage that lies within others of its thread is indented.
    """
    origin = min(start for _, _, start, _ in events)
    groups: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda event: (event[2], -event[3])):
        depth = sum(other[1] == event[1] and other[2] <= event[2] and event[3] <= other[3] for other in events) - 1
        groups["  " * depth + event[0], event[1]].append(event)
    return [
        {
            "stage": stage,
            "thread": "main" if thread == MAIN else thread,
            "begins_ms": 1000 * (calls[0][2] - origin),
            "takes_ms": 1000 * sum(end - start for _, _, start, end in calls),
            "ends_ms": 1000 * (max(end for *_, end in calls) - origin),
            "calls": len(calls),
        }
        for (stage, thread), calls in groups.items()
    ]


def operation_rows(onnx: Path, env: dict[str, str]) -> list[Row]:
    """One row per kind of operation of a compiled model, dearest first.

    Raises:
        BenchmarkError: the model cannot be run.
    """
    run = run_process(python("-m", "training.benchmark.operations", onnx), env)
    kinds = json.loads(run.output.splitlines()[-1])
    total = sum(milliseconds for *_, milliseconds in kinds)
    return [
        {"operation": kind, "executed_as": how, "nodes": nodes, "ms": ms, "percent": 100 * ms / total}
        for kind, how, nodes, ms in kinds
    ]


def purpose_rows(operations: list[Row]) -> list[Row]:
    """The rows of `operation_rows` added up by what the operations are for, dearest first, and their sum."""
    sums: dict[str, float] = defaultdict(float)
    for row in operations:
        sums[purpose_of(row["operation"])] += row["ms"]
    ordered = sorted(sums.items(), key=lambda entry: -entry[1])
    return [{"what": what, "ms": ms} for what, ms in [*ordered, ("all", sum(sums.values()))]]


def purpose_of(operation: str) -> str:
    """What an operation is for, by the name that `training.benchmark.operations` gives it."""
    kind, *fused = operation.split(" + ")
    if kind.startswith(WEIGHTED):
        return "convolutions and linear layers with GELU" if "gelu" in fused else "other convolutions and linear layers"
    if "softmax" in fused:
        return "attention in one operation"
    return PURPOSES.get(kind, "sums, activations and rounding between layers")
