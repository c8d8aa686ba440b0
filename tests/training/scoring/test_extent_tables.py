"""Tables of the extent that was found, worked out by hand."""

import numpy as np
import pytest

from training.scoring.extent import Measured, Row
from training.scoring.extent_tables import ALL, ends_table, report, scores_table
from training.scoring.means import MEAN


def ends(modality: str, first: int | None, last: int | None) -> Row:
    return {"modality": modality, "first_error": first, "last_error": last}


OBJECTS = [ends("MR", 0, -3), ends("MR", 2, 7), ends("CT", -2, 0), ends("CT", None, None)]
CASES: list[Row] = [
    {"modality": "MR", "dsc_given": 0.8, "dsc_found": 0.6, "nsd_given": 0.9, "nsd_found": 0.5},
    {"modality": "MR", "dsc_given": 0.6, "dsc_found": 0.4, "nsd_given": 0.7, "nsd_found": 0.3},
    {"modality": "CT", "dsc_given": 0.9, "dsc_found": 0.7, "nsd_given": 1.0, "nsd_found": 0.8},
]


def test_ends_of_each_modality_and_of_all_objects():
    table = ends_table(OBJECTS)
    assert list(table.index) == ["CT", "MR", ALL]
    assert table["objects"].tolist() == [2, 2, 4]
    assert table["lost"].tolist() == [1, 0, 1]
    assert table["near"].tolist() == [2 / 4, 2 / 4, 4 / 8]  # up to two slices; those of the lost object are not
    assert table["median"].tolist() == [1, 2.5, 2]  # of 0 2, of 0 2 3 7, of 0 0 2 2 3 7
    assert table["mean"].tolist() == pytest.approx([1, 3, 14 / 6])
    assert table["bias"].tolist() == pytest.approx([-1, 1.5, 4 / 6])


def test_where_all_objects_are_lost_there_are_no_errors():
    table = ends_table([ends("CT", None, None)])
    assert table.loc["CT", ["objects", "lost", "near"]].tolist() == [1, 1, 0]
    assert np.isnan(table.loc["CT", ["median", "mean", "bias"]].astype(float)).all()
    assert ends_table([])["objects"].tolist() == [0]


def test_scores_are_means_over_cases_then_over_modalities():
    table = scores_table(CASES)
    assert table["cases"].to_dict() == {"CT": 1, "MR": 2, MEAN: 3}
    assert table["dsc_given"].to_dict() == pytest.approx({"CT": 0.9, "MR": 0.7, MEAN: 0.8})
    assert table["dsc_found"].to_dict() == pytest.approx({"CT": 0.7, "MR": 0.5, MEAN: 0.6})
    assert table["nsd_found"].to_dict() == pytest.approx({"CT": 0.8, "MR": 0.4, MEAN: 0.6})


def test_the_report_shows_both():
    of_ends, of_scores = report(Measured(OBJECTS, CASES)).split("\n\n")
    assert of_ends.splitlines()[-1].split() == ["all", "objects", "4", "1", "0.500", "2.000", "2.333", "0.667"]
    lines = of_scores.splitlines()
    assert lines[1].split() == ["cases", "DSC", "given", "DSC", "found", "NSD", "given", "NSD", "found"]
    assert lines[-1] == "mean over modalities      3     0.8000     0.6000     0.9000     0.6000"
