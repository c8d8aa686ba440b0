"""Scores by structure, and how sure a gain is."""

import numpy as np
import pandas as pd
import pytest

from training.finetuning.card import Verdict
from training.finetuning.data import HeldOut
from training.finetuning.scores import Gain, gain, largest_changes, structures, table


def scored(subjects: list[str], before: list[float], tuned: list[float], structure: str = "label 1") -> pd.DataFrame:
    cases = [f"case {subject}" for subject in subjects]
    columns = {"case": cases, "subject": subjects, "structure": structure}
    return pd.DataFrame(columns | {"dsc before": before, "dsc tuned": tuned})


def test_a_gain_is_the_mean_over_subjects_of_their_paired_differences():
    scores = scored(["a", "a", "b", "c"], [0.5, 0.6, 0.1, 0.8], [0.6, 0.7, 0.4, 0.8])
    mean, low, high = gain(scores, "dsc", "before", "tuned")
    assert mean == pytest.approx((0.1 + 0.3 + 0.0) / 3)  # the two objects of a are one difference
    assert 0 <= low < mean < high < 0.301


def test_the_interval_of_a_plain_gain_is_narrow_and_of_noise_holds_zero():
    rng = np.random.default_rng(0)
    subjects, before = [str(number) for number in range(20)], rng.random(20)
    plain = gain(scored(subjects, before, before + 0.1 + 0.01 * rng.normal(size=20)), "dsc", "before", "tuned")
    assert 0.09 < plain.low < 0.1 < plain.high < 0.11
    noise = gain(scored(subjects, before, before + 0.1 * rng.normal(size=20)), "dsc", "before", "tuned")
    assert noise.low < 0 < noise.high
    assert Verdict(plain, 0.0).is_better
    assert not Verdict(noise, 0.0).is_better


def test_equal_differences_need_no_bootstrap_and_one_subject_has_no_interval():
    same = gain(scored(["a", "b"], [0.5, 0.5], [0.75, 0.75]), "dsc", "before", "tuned")
    assert same == Gain(0.25, 0.25, 0.25)
    alone = gain(scored(["a", "a"], [0.5, 0.6], [0.9, 0.9]), "dsc", "before", "tuned")
    assert alone.mean == pytest.approx(0.35)
    assert np.isnan([alone.low, alone.high]).all()
    assert not Verdict(alone, 0.0).is_better
    assert "takes two subjects" in Verdict(alone, 0.0).sentence


def test_a_table_has_a_row_per_structure_and_one_for_all():
    one = scored(["a", "b"], [0.5, 0.7], [0.6, 0.8], "label 1")
    two = scored(["a", "a"], [0.1, 0.3], [0.4, 0.6], "label 2")
    rows = table(pd.concat([one, two]), "dsc", ["before", "tuned"], "before", "tuned").set_index("structure")
    assert rows["objects"].to_dict() == {"label 1": 2, "label 2": 2, "all": 4}
    assert rows.loc["label 1", ["before", "tuned", "gain"]].tolist() == ["0.600", "0.700", "+0.100"]
    assert rows.loc["label 2", "95 % interval"] == "one subject"
    assert rows.loc["all", "before"] == "0.500"  # of a 0.3, of b 0.7
    assert len(table(one, "dsc", ["before", "tuned"], "before", "tuned")) == 1


def test_structures_are_labels_unless_these_number_objects():
    few = [HeldOut("c", n, "s", "organs", n) for n in (1, 2)]
    many = [HeldOut("d", n, "s", "nuclei", n) for n in range(1, 40)]
    assert structures(few) == ["label 1", "label 2"]
    assert structures([*few, *many])[:3] == ["organs 1", "organs 2", "nuclei"]


def test_the_cases_that_changed_most_are_shown_once():
    subjects = [str(number) for number in range(8)]
    scores = scored(subjects, [0.5] * 8, [0.5, 0.9, 0.1, 0.6, 0.55, 0.2, 0.8, 0.45])
    named = [f"case {number}" for number in (1, 6, 3, 2, 5, 7)]
    assert largest_changes(scores, "before", "tuned") == named
    assert largest_changes(scores[:2], "before", "tuned") == ["case 1", "case 0"]
