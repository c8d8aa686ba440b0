"""The mean over modalities, and which modality a case is of."""

import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from training.scoring.means import by_modality, modality_of


def test_modality_comes_from_the_name():
    assert modality_of("2DBox_X-Ray_0001.npz") == "X-Ray"
    assert modality_of("3DBox_CT_AMOS_0001.npz") == "CT"
    assert modality_of("scan.npz") == modality_of("case_1.npz") == "unknown"


def test_modalities_count_alike_however_many_cases_they_have():
    # CT: (0.2 + 0.4) / 2 = 0.3; US: 0.9; both: (0.3 + 0.9) / 2 = 0.6, where the mean over cases is 0.5.
    scores = {"modality": ["US", "CT", "CT"], "dsc": [0.9, 0.2, 0.4], "nsd": [1, 0, 0.5]}
    for table in (scores, pd.DataFrame(scores)):
        assert by_modality(table) == pytest.approx({"CT": 0.3, "US": 0.9, "mean": 0.6})
        assert list(by_modality(table)) == ["CT", "US", "mean"]
        assert by_modality(table, "nsd") == pytest.approx({"CT": 0.25, "US": 1, "mean": 0.625})


def test_a_case_without_a_score_is_in_no_mean():
    scores = {"modality": ["CT", "CT", "MR"], "dsc": [0.8, math.nan, math.nan]}
    assert by_modality(scores) == pytest.approx({"CT": 0.8, "MR": math.nan, "mean": 0.8}, nan_ok=True)


def test_it_imports_nothing_that_would_make_a_process_large():
    code = "import sys, training.scoring.means; print([name for name in ('numpy', 'pandas') if name in sys.modules])"
    root = Path(__file__).parents[3]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
