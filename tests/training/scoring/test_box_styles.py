"""Boxes as people draw them, worked out by hand, and what is measured with them."""

from pathlib import Path

import numpy as np
import pytest

from inference.cases.case import make_case
from tests.support.filled_box import FilledBox, write_case_in_box
from training.scoring.box_styles import GIVEN, STYLES, Style, draw_box, in_all_styles, measure, table
from training.scoring.means import MEAN
from training.scoring.torch_model import TorchModel

MASK = np.zeros((100, 200), bool)
MASK[20:40, 50:150] = True  # 100 x 20 px


class Rng:
    """Moves boxes to the right and up."""

    def choice(self, values, size):
        assert (values, size) == ([-1, 1], 2)
        return np.array([1, -1])


@pytest.mark.parametrize(
    ("style", "box"),
    [
        (Style(), [50, 20, 0, 149, 39, 0]),
        (Style(looseness=0.05), [45, 19, 0, 154, 40, 0]),
        (Style(looseness=0.2), [30, 16, 0, 169, 43, 0]),
        (Style(looseness=2), [0, 0, 0, 199, 79, 0]),
        (Style(shift=0.05), [55, 19, 0, 154, 38, 0]),
    ],
)
def test_boxes_by_hand(style: Style, box: list[int]):
    assert draw_box(MASK, style, Rng()).tolist() == box


def test_boxes_are_shifted_each_its_own_way_and_the_same_in_every_run():
    gts = np.zeros((100, 400), np.uint8)
    for index in range(20):
        gts[10:90, 20 * index : 20 * index + 20] = index + 1
    case = make_case(np.zeros(gts.shape, np.uint8), np.tile([0, 0, 399, 99], (21, 1)))
    drawn = in_all_styles(case, gts, "2DBox_US_1.npz")
    assert list(drawn) == list(STYLES)
    assert drawn["tight"].usable.tolist() == [True] * 20 + [False]  # of the last one there is nothing
    ways = np.sign(drawn["5 % shifted"].boxes[:20, 1] - 10)
    assert set(ways) == {-1, 1}
    again = in_all_styles(case, gts, "2DBox_US_1.npz")["5 % shifted"].boxes
    np.testing.assert_array_equal(again, drawn["5 % shifted"].boxes)


def test_a_model_that_fills_boxes_loses_what_they_are_loose(tmp_path: Path):
    write_case_in_box(tmp_path, "2DBox_CT_1.npz", rows=50)
    write_case_in_box(tmp_path, "2DBox_MR_1.npz", rows=100)
    paths = sorted((tmp_path / "imgs").iterdir())
    scores = table(measure(TorchModel(FilledBox()), paths, zoom=False), "dsc")
    assert scores.index.tolist() == ["CT", "MR", MEAN]
    assert scores.columns.tolist() == [GIVEN, *STYLES]
    assert scores.loc["CT", GIVEN] < 0.7
    assert scores["tight"].tolist() == pytest.approx([1, 1, 1], abs=0.02)
    assert (scores.loc[MEAN, ["tight", "5 % loose", "10 % loose", "20 % loose"]].diff().dropna() < -0.05).all()
