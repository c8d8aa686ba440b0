"""What company costs a small box: its mask on its own window, and on the one that it shares with its neighbours.

  python -m training.benchmark.zoom_sharing --val ../shared/data/val --weights weights --cache FOLDER

prints a table of the small boxes of the 2D cases that have several boxes: how many there are, how many have another
window among the other boxes of their case than alone, their mean DSC with either, and by how many pixels the two masks
differ, as a share of the pixels that are in one of them. Other objects do not paint over a mask here.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
from tqdm import tqdm

from inference.cases.case import Case, read_case
from inference.memory_limit import case_budget, memory_limit
from inference.model.pair import ModelPair
from inference.options import Options
from inference.segment.plan import make_plan
from inference.segment.segment_case import segment_case
from inference.segment.zoom import MAX_WINDOWS, Window
from training.benchmark.tables import Row, text_table
from training.scoring.means import modality_of
from training.scoring.metrics import dice

FEW, MANY = f"cases with up to {MAX_WINDOWS}", f"cases with more than {MAX_WINDOWS}"
ALL = "all cases"
WHOLE_CASE = replace(Options(), zoom=False)


def small_boxes(case: Case, gts: np.ndarray, model: ModelPair) -> list[Row]:
    """One row per box of a 2D case that is segmented on a window where it is alone.

    Args:
        gts: (H, W) labels, i that of the i-th box, from 1.
    """
    among = windows_of(case, model)
    rows: list[Row] = []
    for index in np.flatnonzero(case.usable):
        single = replace(case, boxes=case.boxes[index : index + 1], usable=case.usable[index : index + 1])
        own, shared = windows_of(single, model)[0], among[index]
        if own == Window(0, 0, *case.shape[:0:-1]):  # the whole image
            continue
        own_mask = mask_on(single, own, model)
        shared_mask = own_mask if shared == own else mask_on(single, shared, model)
        truth = gts == index + 1
        union = np.count_nonzero(own_mask | shared_mask)
        rows.append(
            {
                "other_window": int(shared != own),
                "alone_dsc": dice(truth, own_mask),
                "among_dsc": dice(truth, shared_mask),
                "differ": np.count_nonzero(own_mask ^ shared_mask) / union if union else 0.0,
            }
        )
    return rows


def windows_of(case: Case, model: ModelPair) -> dict[int, Window]:
    """The window of each object of a 2D case, by its index."""
    plan = make_plan(case, model.metadata, Options(), memory_limit(), model.threads)
    views = [view for visit in plan.route.visits for view in visit.views]
    return {int(index): plan.windows[view.window] for view in views for index in view.objects}


def mask_on(case: Case, window: Window, model: ModelPair) -> np.ndarray:
    """Mask (H, W) bool of the one box of a 2D case, segmented on a window of it."""
    left, top, right, bottom = window
    boxes = case.boxes - [left, top, 0, left, top, 0]
    cut = replace(case, volume=np.ascontiguousarray(case.volume[:, top:bottom, left:right]), boxes=boxes)
    mask = np.zeros(case.shape[1:], bool)
    mask[top:bottom, left:right] = segment_case(cut, model, WHOLE_CASE, memory_limit()).segs > 0
    return mask


def sharing_rows(cases: dict[str, list[Row]]) -> list[Row]:
    """Means over boxes: by modality, by whether a case can reach the bound on windows, and of all.

    Args:
        cases: by file name, the rows of `small_boxes`.
    """
    groups: dict[str, list[Row]] = {name: [] for name in (*sorted(set(map(modality_of, cases))), FEW, MANY, ALL)}
    for name, rows in cases.items():
        for group in (modality_of(name), FEW if len(rows) <= MAX_WINDOWS else MANY, ALL):
            groups[group] += rows
    return [
        {
            "boxes of": name,
            "small": len(rows),
            "other_window": sum(row["other_window"] for row in rows),
            **{column: mean(row[column] for row in rows) for column in ("alone_dsc", "among_dsc", "differ")},
        }
        for name, rows in groups.items()
        if rows
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.zoom_sharing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--val", type=Path, required=True, metavar="DIR", help="cases: DIR/imgs, DIR/gts")
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR", help="encoder.onnx and decoder.onnx")
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR", help="folder for compiled models")
    options = parser.parse_args(arguments)
    model = ModelPair(options.weights, cache=options.cache)
    cases: dict[str, list[Row]] = {}
    for path in tqdm(sorted((options.val / "imgs").glob("2DBox_*.npz")), unit="case", disable=None):
        case = read_case(path, case_budget(memory_limit()))
        if len(case.boxes) > 1:
            with np.load(options.val / "gts" / path.name, allow_pickle=False) as truth:
                cases[path.name] = small_boxes(case, truth["gts"], model)
    print(text_table(sharing_rows({name: rows for name, rows in cases.items() if rows})))
    return 0


if __name__ == "__main__":
    sys.exit(main())
