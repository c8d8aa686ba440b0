"""Ways in which people draw boxes, from the ground truth of an image, and how well each is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from inference.cases.case import Case, read_case
from inference.errors import only_case_errors
from inference.memory_limit import case_budget, memory_limit
from inference.options import Options
from inference.segment.segment_case import segment_case
from training.scoring.drawn_boxes import corners, redrawn
from training.scoring.label_maps import read_truth
from training.scoring.means import MEAN, by_modality, modality_of
from training.scoring.metrics import case_scores
from training.scoring.validation import Row, Runner, naming, truth_of

GIVEN = "given"  # the boxes that the case has


@dataclass(frozen=True)
class Style:
    """How a box lies around an object, in shares of the tight box's width and height.

    looseness: every side is moved outward by it. shift: the box is moved by it along both axes, either way at random.
    """

    looseness: float = 0.0
    shift: float = 0.0


STYLES = {
    "tight": Style(),
    "5 % loose": Style(looseness=0.05),
    "10 % loose": Style(looseness=0.1),
    "20 % loose": Style(looseness=0.2),
    "5 % shifted": Style(shift=0.05),
}


def draw_box(mask: np.ndarray, style: Style, rng: np.random.Generator) -> np.ndarray:
    """A box around an object in a style, in whole pixels, clipped to the image.

    Args:
        mask: bool (H, W), not empty.

    Returns:
        (6,) `x_min, y_min, 0, x_max, y_max, 0`; the last pixel belongs to the box.
    """
    low, high = corners(mask)
    sides = high + 1 - low
    outward = np.rint(sides * style.looseness).astype(int)
    moved = np.rint(sides * style.shift).astype(int) * rng.choice([-1, 1], 2)
    last = np.array(mask.shape[::-1]) - 1
    low, high = np.clip(low - outward + moved, 0, last), np.clip(high + outward + moved, 0, last)
    return np.array([*low, 0, *high, 0], float)


def measure(runner: Runner, paths: Sequence[Path], zoom: bool = True) -> list[Row]:
    """Segment every image with its own boxes and with boxes in every style.

    Args:
        paths: image files of 2D validation cases.

    Returns:
        A row per case and style: `case`, `modality`, `style`, `dsc` and `nsd` (0..1).

    Raises:
        ValueError: a case cannot be read or segmented; the message names it.
    """
    rows: list[Row] = []
    for path in tqdm(paths, desc="boxes", unit="case", disable=None):
        with naming(truth_of(path)) as truth:
            gts, spacing = read_truth(truth)
        with naming(path), only_case_errors():
            case = read_case(path, case_budget(memory_limit()))
            for style, styled in {GIVEN: case, **in_all_styles(case, gts, path.name)}.items():
                segs = segment_case(styled, runner, Options(zoom=zoom), memory_limit()).segs
                dsc, nsd = case_scores(gts, segs, spacing)
                about: Row = {"case": path.name, "modality": modality_of(path.name), "style": style}
                rows.append({**about, "dsc": dsc, "nsd": nsd})
    return rows


def in_all_styles(case: Case, gts: np.ndarray, name: str) -> dict[str, Case]:
    """An image with its boxes drawn in each style, by the style's name; see `redrawn`."""

    def draw(style: Style) -> Case:
        return redrawn(case, gts, name, lambda _, mask, rng: draw_box(mask, style, rng))

    return {title: draw(style) for title, style in STYLES.items()}


def table(rows: Sequence[Row], measured: str) -> pd.DataFrame:
    """Means over the cases of each modality and, as `MEAN`, over these: a row per modality, a column per style.

    Args:
        rows: of `measure`. measured: `dsc` or `nsd`.
    """
    scores = pd.DataFrame(rows)
    columns = {style: by_modality(scores[scores["style"] == style], measured) for style in (GIVEN, *STYLES)}
    modalities = [name for name in columns[GIVEN] if name != MEAN]
    return pd.DataFrame(columns, index=[*modalities, MEAN])
