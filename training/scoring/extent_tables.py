"""Tables of what `training.scoring.extent` measured: how near ends are, and the scores with the extent found."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from training.scoring.extent import Measured, Row
from training.scoring.means import MEAN, MEAN_TITLE, by_modality

NEAR = 2  # slices; an end that is no further from the true one counts as found
ALL = "all objects"


def ends_table(objects: Sequence[Row]) -> pd.DataFrame:
    """How near the ends are that were found, per modality and last, as `ALL`, over all objects; each end counts once.

    Args:
        objects: rows of `Measured.objects`.

    Returns:
        Columns `objects`; `lost`, those of which nothing was segmented; `near`, the share of ends at most `NEAR` slices
        off, to which a lost object adds two ends that are not; and, without the lost ones, `median` and `mean` of the
        absolute errors and `bias`, the mean of the signed ones, in slices.
    """
    groups: dict[str, list[Row]] = {}
    for row in objects:
        groups.setdefault(str(row["modality"]), []).append(row)
    scopes = {**{name: groups[name] for name in sorted(groups)}, ALL: objects}
    return pd.DataFrame([_ends(rows) for rows in scopes.values()], index=list(scopes))


def _ends(objects: Sequence[Row]) -> dict[str, int | float]:
    ends = pd.Series([row[end] for row in objects for end in ("first_error", "last_error")], dtype=float)
    known = ends.dropna()
    return {
        "objects": len(objects),
        "lost": (len(ends) - len(known)) // 2,
        "near": (ends.abs() <= NEAR).mean(),
        "median": known.abs().median(),
        "mean": known.abs().mean(),
        "bias": known.mean(),
    }


def scores_table(cases: Sequence[Row]) -> pd.DataFrame:
    """DSC and NSD with the extent given and found: means over the cases of each modality, then, as `MEAN`, over these.

    Args:
        cases: rows of `Measured.cases`.
    """
    scores = pd.DataFrame(cases)
    measures = ("dsc_given", "dsc_found", "nsd_given", "nsd_found")
    table = pd.DataFrame({measure: by_modality(scores, measure) for measure in measures})
    table.insert(0, "cases", pd.Series({**Counter(scores["modality"]), MEAN: len(scores)}))
    return table


def report(measured: Measured) -> str:
    """Both tables as text."""
    ends = ends_table(measured.objects).rename(columns={"near": f"within {NEAR}"})
    titles = {"dsc_given": "DSC given", "dsc_found": "DSC found", "nsd_given": "NSD given", "nsd_found": "NSD found"}
    scores = scores_table(measured.cases).rename(columns=titles, index={MEAN: MEAN_TITLE})
    return (
        f"ends of objects: share within {NEAR} slices; errors in slices, bias above 0 where masks go too far\n"
        f"{ends.to_string(float_format='{:.3f}'.format)}\n\n"
        f"scores with the extent given and found\n{scores.to_string(float_format='{:.4f}'.format)}"
    )
