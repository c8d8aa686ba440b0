"""Runs that are stopped or killed: whole results or none, and another run finishes the job."""

import os
import signal
import subprocess
import sys
import time

import cv2
import pytest

from inference.atomic import PREFIX, STALE_SECONDS, SUFFIX
from inference.errors import EXIT_OK
from tests.system.conftest import ROOT
from tests.system.small_cases import IMAGE, whole_results, write_cases


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGINT, 128 + signal.SIGINT),
    ],
)
def test_a_second_run_finishes_the_job(folders, command, run, number, status):
    names = write_cases(folders[0], 60)
    line = command("-i", folders[0], "-o", folders[1])
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.send_signal(number)
        errors = process.communicate()[1]
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    done = whole_results(folders[1])
    assert 0 < len(done) < len(names)

    rest = run("-i", folders[0], "-o", folders[1], "--skip-existing")
    assert rest.returncode == EXIT_OK
    assert [line.split(":")[0] for line in rest.stdout.splitlines()] == sorted(set(names) - set(done))
    assert whole_results(folders[1]) == names


STOPPED_TWICE = """
import os, signal, sys
from inference.atomic import write_atomically
from inference.cases import npz
from inference.cli import main

def write_half(path, segs):
    def write(file):
        file.write(b"half")
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:  # on the way out, where temporary files are taken away and threads are waited for
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            print("on the way out", flush=True)
    write_atomically(path, write)

npz.write_segs = write_half
main(sys.argv[1:])
"""


def test_a_second_signal_does_not_disturb_the_way_out(folders, command):
    write_cases(folders[0], 2)
    line = [sys.executable, "-c", STOPPED_TWICE, *command("-i", folders[0], "-o", folders[1])[3:]]
    result = subprocess.run(line, cwd=ROOT, text=True, capture_output=True, check=False)
    assert result.returncode == 128 + signal.SIGTERM, result.stderr
    assert result.stdout == "on the way out\n"
    assert result.stderr == "ERROR: stopped by SIGTERM\n"
    assert list(folders[1].iterdir()) == []


STOPPED_WHILE_LOADING = """
import builtins, os, signal, sys
from inference.cli import main

def load_as_extension_modules_do(name, *others, **named):
    if name == "cv2":
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except SystemExit as error:
            raise ImportError("initialization failed") from error
    return load(name, *others, **named)

load, builtins.__import__ = builtins.__import__, load_as_extension_modules_do
sys.exit(main(sys.argv[1:]))
"""


def test_a_signal_while_libraries_are_loaded(folders, command):
    write_cases(folders[0], 1)
    line = [sys.executable, "-c", STOPPED_WHILE_LOADING, *command("-i", folders[0], "-o", folders[1])[3:]]
    result = subprocess.run(line, cwd=ROOT, text=True, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (128 + signal.SIGINT, "ERROR: stopped by SIGINT\n")


def test_a_hail_of_signals(folders, command):
    write_cases(folders[0], 60)
    line = command("-i", folders[0], "-o", folders[1])
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.002)
        errors = process.communicate()[1]
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT)  # who comes first is the system's choice
    assert errors in ("ERROR: stopped by SIGTERM\n", "ERROR: stopped by SIGINT\n")
    assert whole_results(folders[1])
    assert not list(folders[1].glob(".*"))


def leave_half_a_file(folder):
    """As `kill -9` does, long ago."""
    left = folder / f"{PREFIX}0123{SUFFIX}"
    left.write_bytes(b"half a result")
    os.utime(left, (time.time() - STALE_SECONDS - 1,) * 2)


def test_what_a_killed_run_left_is_taken_away_and_never_taken_for_a_result(folders, run):
    write_cases(folders[0], 1)
    folders[1].mkdir()
    leave_half_a_file(folders[1])
    assert run("-i", folders[0], "-o", folders[1], "--skip-existing").returncode == EXIT_OK
    assert [path.name for path in folders[1].iterdir()] == ["2DBox_CT_000.npz"]


def test_what_a_killed_run_left_beside_a_mask_and_in_the_cache_is_taken_away(tmp_path, run):
    cv2.imwrite(str(tmp_path / "scan.png"), IMAGE)
    cache = tmp_path / "cache"
    line = ("--image", tmp_path / "scan.png", "--box", "10,10,60,50", "-o", tmp_path / "mask.png", "--cache", cache)
    assert run(*line).returncode == EXIT_OK
    for folder in (tmp_path, cache):
        leave_half_a_file(folder)
    assert run(*line).returncode == EXIT_OK  # which finds both models in the cache
    assert not [*tmp_path.glob(".*"), *cache.glob(".*")]
