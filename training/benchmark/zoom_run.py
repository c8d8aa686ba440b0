"""Validation cases with and without the zoom, in one process: how long each takes, and its masks for scoring.

  python -m training.benchmark.zoom_run --val ../shared/data/val --weights weights --segs FOLDER --cache FOLDER

prints one line of JSON per case: `case`, `boxes`, `passes` of the encoder per slice with the zoom, and medians
`plain_ms` and `zoomed_ms` of segmenting it warm, without reading and writing. Masks are in FOLDER/plain and
FOLDER/zoomed.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from tqdm import tqdm

from inference.cases.case import Case, read_case
from inference.cases.npz import write_segs
from inference.memory_limit import case_budget, memory_limit
from inference.model.pair import ModelPair
from inference.options import Options
from inference.segment.plan import make_plan
from inference.segment.segment_case import segment_case
from training.benchmark.names import PLAIN, WAYS, ZOOMED

OPTIONS = {PLAIN: replace(Options(), zoom=False), ZOOMED: Options()}


def measure(case: Case, model: ModelPair, repeats: int, segs: dict[str, Path]) -> dict[str, float | int]:
    """Segment a case `repeats` times in both ways by turns, after one run of each that writes its masks.

    segs: by way, the file for the masks.
    """
    memory = memory_limit()
    for way, options in OPTIONS.items():
        write_segs(segs[way], segment_case(case, model, options, memory).segs)
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way, options in OPTIONS.items():
            start = time.perf_counter()
            segment_case(case, model, options, memory)
            times[way].append(1000 * (time.perf_counter() - start))
    route = make_plan(case, model.metadata, OPTIONS[ZOOMED], memory, model.threads).route
    return {
        "boxes": len(case.boxes),
        "passes": len({view.window for visit in route.visits for view in visit.views}),
        **{f"{way}_ms": median(times[way]) for way in WAYS},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.zoom_run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--val", type=Path, required=True, metavar="DIR", help="cases: DIR/imgs/*.npz")
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR", help="encoder.onnx and decoder.onnx")
    parser.add_argument("--segs", type=Path, required=True, metavar="DIR", help="folder for masks")
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR", help="folder for compiled models")
    parser.add_argument("--repeats", type=int, default=3, help="runs in each way (default: %(default)s)")
    options = parser.parse_args(arguments)
    for way in WAYS:
        (options.segs / way).mkdir(parents=True, exist_ok=True)
    model = ModelPair(options.weights, cache=options.cache)
    for path in tqdm(sorted((options.val / "imgs").glob("*.npz")), desc="zoom", unit="case", disable=None):
        segs = {way: options.segs / way / path.name for way in WAYS}
        print(
            json.dumps(
                {
                    "case": path.name,
                    **measure(read_case(path, case_budget(memory_limit())), model, options.repeats, segs),
                }
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
