"""Choosing a model by DSC, NSD and time together.

Yu et al. choose by all three, and the challenge ranks by them: the contenders are ranked case by case by each of the
three, and the mean of all these ranks decides. So do we. Of times we take those of segmenting a case whose files are
read and whose model is loaded; the challenge times whole containers.
"""

import pandas as pd

BETTER_IS_LESS = {"dsc": False, "nsd": False, "seconds": True}


def mean_ranks(cases: pd.DataFrame) -> pd.DataFrame:
    """
    Args:
        cases: one row per run and case: `run`, `case`, `dsc`, `nsd`, `seconds`; all runs on the same cases.

    Returns:
        One row per run, the best first, with its mean rank (1 is the best; ties share the mean of their ranks) by each
        measure, `dsc`, `nsd`, `seconds`, and by all of them, `all`. A case that cannot be scored is in no mean.
    """
    by_case = cases.groupby("case")
    ranks = pd.DataFrame({name: by_case[name].rank(ascending=less) for name, less in BETTER_IS_LESS.items()})
    ranks = ranks[cases[[*BETTER_IS_LESS]].notna().all(axis="columns")]
    means = ranks.groupby(cases["run"], sort=False).mean()
    means["all"] = means.mean(axis="columns")
    return means.sort_values("all", kind="stable")
