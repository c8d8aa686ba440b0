"""Standard output and standard error closed, full or without a reader: the run does all its work and says so."""

import os
import subprocess

import pytest

from inference.errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_USAGE
from tests.system.conftest import ROOT
from tests.system.small_cases import whole_results, write_cases


def test_on_a_full_disk(folders, run):
    names = write_cases(folders[0], 2)
    (folders[0] / "bad.npz").write_bytes(b"")
    with open("/dev/full", "w") as full:
        result = run("-i", folders[0], "-o", folders[1], "--verbose", capture_output=False, stdout=full, stderr=full)
    assert result.returncode == EXIT_CASE_FAILED
    assert whole_results(folders[1]) == names


def test_that_nobody_reads_any_more(folders, run):
    names = write_cases(folders[0], 3)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nobody:
        result = run("-i", folders[0], "-o", folders[1], capture_output=False, stdout=nobody, stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (EXIT_OK, "")
    assert whole_results(folders[1]) == names


@pytest.fixture
def run_closed(command):
    """`run_closed(streams, *arguments)`: with these streams closed, as a shell does it."""

    def run_closed(streams, *arguments):
        line = ["sh", "-c", f'exec "$@" {streams}', "sh", *command(*arguments)]
        return subprocess.run(line, cwd=ROOT, text=True, capture_output=True, check=False)

    return run_closed


@pytest.mark.parametrize("streams", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed(folders, run_closed, streams):
    names = write_cases(folders[0], 2)
    (folders[0] / "2DBox_CT_repaired.npz").symlink_to(folders[0] / names[0])
    result = run_closed(streams, "-i", folders[0], "-o", folders[1], "--verbose")
    assert result.returncode == EXIT_OK, result.stderr
    assert whole_results(folders[1]) == [*names, "2DBox_CT_repaired.npz"]
    assert "Traceback" not in result.stderr


def test_closed_where_a_case_fails(folders, run_closed):
    names = write_cases(folders[0], 2)
    (folders[0] / "2DBox_CT_000b.npz").write_bytes(b"")
    assert run_closed("2>&-", "-i", folders[0], "-o", folders[1]).returncode == EXIT_CASE_FAILED
    assert whole_results(folders[1]) == names


def test_closed_where_the_command_line_is_wrong(run_closed):
    assert run_closed("2>&-", "-i", "in").returncode == EXIT_USAGE
    assert run_closed(">&-", "--help").returncode == EXIT_OK
