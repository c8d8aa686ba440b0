"""Lists of ablations: what is refused, and the table as text."""

from pathlib import Path

import pandas as pd
import pytest

from training.trainer.comparison import as_text, read_comparison


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ("[{name: a, weights: x}, {name: a, weights: y}]", "two runs have the same name"),
        ("[{name: a, weights: x, config: y}]", "'a': give either config or weights"),
        ("[{name: a}]", "'a': give either config or weights"),
        ("[{name: a, weight: x}]", "weight"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(tmp_path: Path, runs: str, reason: str):
    path = tmp_path / "list.yaml"
    path.write_text(f"validation: {{root: val}}\nruns: {runs}\n")
    with pytest.raises(ValueError, match=reason) as error:
        read_comparison(path)
    assert str(error.value).startswith(f"{path}: ")


def test_the_table_has_a_line_per_modality_and_two_columns_per_run():
    table = pd.DataFrame({"run": ["a", "b"], "DSC CT": [90.0, 80.0], "NSD CT": [95.0, 85.0]})
    assert as_text(table).splitlines()[-1].split() == ["CT", "90.0", "95.0", "80.0", "85.0"]
