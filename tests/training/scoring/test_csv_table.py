"""Tables on disk: what stands in a cell, and that a file is whole or untouched."""

from pathlib import Path

import numpy as np
import pytest

from training.scoring.csv_table import write_csv


def test_columns_come_as_they_first_occur_and_what_is_missing_is_empty(tmp_path: Path):
    write_csv(
        tmp_path / "a.csv", [{"step": 1, "loss": 0.5}, {"step": 2, "loss": float("nan"), "dsc": None}, {"dsc": 1.0}]
    )
    assert (tmp_path / "a.csv").read_bytes() == b"step,loss,dsc\n1,0.5,\n2,,\n,,1.0\n"


def test_numbers_keep_their_digits_unless_a_format_is_given(tmp_path: Path):
    rows = [{"a": 1 / 3, "b": np.float64(0.1), "c": np.float32(0.25), "n": np.int64(7)}]
    write_csv(tmp_path / "a.csv", rows)
    assert (tmp_path / "a.csv").read_text() == "a,b,c,n\n0.3333333333333333,0.1,0.25,7\n"
    write_csv(tmp_path / "a.csv", rows, floats=".2f")
    assert (tmp_path / "a.csv").read_text() == "a,b,c,n\n0.33,0.10,0.25,7\n"


def test_commas_and_quotes_are_quoted(tmp_path: Path):
    write_csv(tmp_path / "a.csv", [{"problem": 'a, "b"'}])
    assert (tmp_path / "a.csv").read_text() == 'problem\n"a, ""b"""\n'


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path):
    write_csv(tmp_path / "a.csv", [{"a": 1}])
    with pytest.raises(RuntimeError):
        write_csv(tmp_path / "a.csv", rows_that_break())
    assert (tmp_path / "a.csv").read_text() == "a\n1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    with pytest.raises(OSError, match="No such file"):
        write_csv(tmp_path / "nowhere" / "a.csv", [{"a": 1}])


def rows_that_break():
    yield {"a": 2}
    raise RuntimeError
