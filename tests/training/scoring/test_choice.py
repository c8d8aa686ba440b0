"""The choice of a model: ranks in every case, ties, cases without a score."""

import numpy as np
import pandas as pd

from training.scoring.choice import mean_ranks


def test_the_mean_of_the_ranks_in_all_cases_and_measures_decides():
    cases = pd.DataFrame(
        {
            "run": ["exact", "exact", "quick", "quick", "slow", "slow"],
            "case": ["1", "2", "1", "2", "1", "2"],
            "dsc": [0.9, 0.9, 0.89, 0.1, 0.5, 0.05],
            "nsd": [0.9, np.nan, 0.9, np.nan, 0.2, np.nan],
            "seconds": [2.0, 2.0, 1.0, 1.0, 3.0, 30.0],
        },
    )
    ranks = mean_ranks(cases)
    assert ranks.loc["exact"].tolist() == [1, 1.5, 2, 1.5]
    assert ranks.loc["quick"].tolist() == [2, 1.5, 1, 1.5]
    assert ranks.loc["slow"].tolist() == [3, 3, 3, 3]
    assert ranks.index.tolist() == ["exact", "quick", "slow"]

    cases.loc[cases["run"] == "quick", "dsc"] = 0.95
    assert mean_ranks(cases).index[0] == "quick"
