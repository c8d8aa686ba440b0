"""The benchmark of a container's start, with a stand-in for the engine."""

import csv
import json
import sys

import pytest

from training.benchmark import container_start

ENGINE = """
import json, sys
with open(sys.argv[1], "a") as log:
    print(json.dumps(sys.argv[2:]), file=log)
"""


def test_the_case_as_a_process_and_as_the_challenge_starts_it(shared_data, tmp_path, capsys):
    (tmp_path / "engine.py").write_text(ENGINE)
    engine = f"{sys.executable} {tmp_path / 'engine.py'} {tmp_path / 'log'} run"
    where = ["--val", str(shared_data / "val"), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert container_start.main([*where, "--engine", engine, "--image", "some:tag", "--repeats", "1"]) == 0
    with (tmp_path / "out" / "container_start.csv").open() as file:
        process, nothing, container = csv.DictReader(file)
    assert [row["what"] for row in (process, nothing, container)] == ["process", "container, nothing", "container"]
    ratio = float(container["seconds"]) / float(process["seconds"])  # of a single round
    assert float(container["times_process"]) == pytest.approx(ratio)
    assert (tmp_path / "work" / "segs" / "process" / "2DBox_256x256_1.npz").is_file()
    started = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    inputs = tmp_path / "work" / "cases" / "2DBox_256x256_1"
    assert all({"run", "some:tag", f"{inputs}:/workspace/inputs"} <= set(words) for words in started)
    assert [words[-1] for words in started] == ["pass", "sh predict.sh"] * 2  # warming up, and a round

    assert container_start.main([*where, "--engine", "no-such-engine run", "--repeats", "1"]) == 1
    assert "no-such-engine" in capsys.readouterr().err
