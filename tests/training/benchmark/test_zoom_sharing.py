"""The table of what company costs a small box."""

import numpy as np
import pytest

from training.benchmark.zoom_sharing import ALL, FEW, MANY, main, sharing_rows


def test_rows_are_means_over_boxes():
    def box(differ):
        return {"other_window": int(differ > 0), "alone_dsc": 0.8, "among_dsc": 0.9, "differ": differ}

    cases = {"2DBox_US_1.npz": [box(0.0)] * 3, "2DBox_CT_1.npz": [box(0.4)], "2DBox_CT_2.npz": [box(0.1)] * 9}
    rows = {row["boxes of"]: row for row in sharing_rows(cases)}
    assert list(rows) == ["CT", "US", FEW, MANY, ALL]
    counts = [(row["small"], row["other_window"]) for row in rows.values()]
    assert counts == [(10, 10), (3, 0), (4, 1), (9, 9), (13, 10)]
    assert rows["CT"]["differ"] == pytest.approx(0.13)
    assert rows[FEW]["differ"] == pytest.approx(0.1)
    assert (rows[ALL]["alone_dsc"], rows[ALL]["among_dsc"]) == (pytest.approx(0.8), pytest.approx(0.9))


def test_table_of_one_case(shared_data, tmp_path, capsys):
    for path in sorted((shared_data / "val" / "imgs").glob("2DBox_OCT_*.npz")):
        with np.load(path) as case:
            if len(case["boxes"]) > 4:
                break
    for kind in ("imgs", "gts"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / path.name).symlink_to((shared_data / "val" / kind / path.name).resolve())
    assert main(["--val", str(tmp_path), "--weights", "weights", "--cache", str(tmp_path / "cache")]) == 0
    header, oct_row, *_ = (line.split() for line in capsys.readouterr().out.splitlines())
    small, other, alone, among, differ = map(float, oct_row[1:])
    assert header[-4:] == ["other_window", "alone_dsc", "among_dsc", "differ"]
    assert other < small
    assert min(alone, among) > 0.5
    assert differ < 0.2
