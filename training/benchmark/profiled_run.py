"""The runtime's command line with a clock on every stage; the child process of `--profile`.

  python -m training.benchmark.profiled_run REPORT -i IN -o OUT ...

writes JSON into the file REPORT: when Python code `began` and `ended` (`time.perf_counter`, a clock that all processes
share) and `events`, each [stage, thread, start, end]. Stages may lie within one another and run side by side.
"""

import time

BEGAN = time.perf_counter()

import builtins  # noqa: E402
import functools  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

LIBRARIES = ("numpy", "cv2", "openvino", "openvino._pyopenvino")
# Module and name of a function or method of the runtime, and the stage that it is.
STAGES = {
    ("inference.arguments", "parse"): "command line",
    ("inference.model.pair", "ModelPair.__init__"): "model: metadata, start of loading",
    ("inference.model.early_load", "_load"): "model: load {0.stem}",
    ("inference.model.compiled_cache", "load_compiled"): "model: load {1.stem}",
    ("inference.cases.case", "read_case"): "read case",
    ("inference.segment.plan", "make_plan"): "plan",
    ("inference.segment.preprocess", "encoder_input"): "preprocess",
    ("inference.model.pair", "ModelPair.encode"): "encode (waits for the model)",
    ("inference.model.pair", "_scored"): "decode (waits for what is left of it)",
    ("inference.model.pair", "ModelPair.follow"): "follow (waits for the model)",
    ("inference.segment.resample", "positive_region"): "mask: find region",
    ("inference.segment.resample", "bilinear"): "mask: resample",
    ("inference.segment.paint", "Canvas.paint"): "mask: paint",
    ("inference.cases.npz", "write_segs"): "write result",
}

Event = tuple[str, str, float, float]
events: list[Event] = []


def timed(function: Callable, stage: str) -> Callable:
    """The function, noting every call."""

    @functools.wraps(function)
    def run(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            note(stage.format(*arguments), start)

    return run


def note(stage: str, start: float) -> None:
    events.append((stage, threading.current_thread().name, start, time.perf_counter()))


def watch_imports() -> None:
    """Time the first import of each library, and put clocks on a stage as soon as its module is there.

    That is before the importing module binds the name, so that `from module import function` gets the clock too.
    """
    original = builtins.__import__
    seen: set[str] = set()
    waiting = dict(STAGES)

    def import_and_watch(name: str, *arguments: Any, **named: Any) -> Any:
        library = name if name in LIBRARIES else name.partition(".")[0]
        is_first = library in LIBRARIES and library not in seen and library not in sys.modules
        if is_first:
            seen.add(library)
        start = time.perf_counter()
        try:
            return original(name, *arguments, **named)
        finally:
            if is_first:
                note(f"import {library}", start)
            for target in [target for target in waiting if is_loaded(target[0])]:
                put_clock(*target, waiting.pop(target))

    builtins.__import__ = import_and_watch


def is_loaded(module: str) -> bool:
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return spec is not None and not getattr(spec, "_initializing", False)


def put_clock(module: str, path: str, stage: str) -> None:
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, sys.modules[module])
    setattr(owner, name, timed(getattr(owner, name), stage))


def main() -> int:
    report = Path(sys.argv[1])
    watch_imports()
    from inference.cli import main as run

    kept: list[object] = []
    status = run(sys.argv[2:], kept.append)
    report.write_text(json.dumps({"began": BEGAN, "ended": time.perf_counter(), "events": events}))
    return status


if __name__ == "__main__":
    os._exit(main())  # as `inference.__main__` does
