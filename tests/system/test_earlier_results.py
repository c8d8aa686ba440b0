"""Results of earlier runs: what is no result of today's input does not stay, and is not taken for one."""

import os

import cv2
import numpy as np
import pytest

from inference.errors import EXIT_CASE_FAILED, EXIT_OK
from tests.system.small_cases import BOX, IMAGE, whole_results, write_cases


def done(result) -> list[str]:
    return [line.split(":")[0] for line in result.stdout.splitlines()]


@pytest.mark.parametrize("more", [(), ("--skip-existing",)])
def test_of_a_case_that_fails_now_is_taken_away(folders, run, more):
    names = write_cases(folders[0], 2)
    overlays = folders[1].parent / "overlays"
    line = ("-i", folders[0], "-o", folders[1], "--overlay", overlays)
    assert run(*line).returncode == EXIT_OK
    (folders[0] / names[0]).write_bytes(b"no case any more")
    result = run(*line, *more)
    assert result.returncode == EXIT_CASE_FAILED
    assert whole_results(folders[1]) == names[1:]
    assert [path.stem for path in overlays.iterdir()] == [name.removesuffix(".npz") for name in names[1:]]
    assert f"; removed {folders[1] / names[0]}, which an earlier run made" in result.stderr.splitlines()[0]
    assert run(*line, "--skip-existing").returncode == EXIT_CASE_FAILED


def test_of_a_picture_that_fails_now_is_taken_away(tmp_path, run):
    cv2.imwrite(str(tmp_path / "scan.png"), IMAGE)
    line = ("--image", tmp_path / "scan.png", "--box", "10,10,60,50", "-o", tmp_path / "mask.png")
    assert run(*line).returncode == EXIT_OK
    (tmp_path / "scan.png").write_bytes(b"no picture")
    result = run(*line)
    assert result.returncode == EXIT_CASE_FAILED
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "mask.png").exists()


def test_a_new_result_stays_when_its_overlay_fails(folders, run):
    names = write_cases(folders[0], 1)
    taken = folders[1].parent / "overlays" / names[0].replace(".npz", ".png")
    taken.mkdir(parents=True)
    result = run("-i", folders[0], "-o", folders[1], "--overlay", taken.parent)
    assert result.returncode == EXIT_CASE_FAILED
    assert "cannot be written (Is a directory)" in result.stderr
    assert whole_results(folders[1]) == names


def test_older_than_its_case_is_made_again(folders, run):
    names = write_cases(folders[0], 3)
    assert run("-i", folders[0], "-o", folders[1]).returncode == EXIT_OK
    times = {name: (folders[1] / name).stat().st_mtime_ns for name in names}
    os.utime(folders[0] / names[1], ns=(times[names[1]] + 1,) * 2)
    os.utime(folders[0] / names[2], ns=(times[names[2]],) * 2)
    result = run("-i", folders[0], "-o", folders[1], "--skip-existing")
    assert done(result) == [names[1]]
    assert (folders[1] / names[1]).stat().st_mtime_ns > times[names[1]]


def test_nothing_left_to_do_is_success(folders, run):
    write_cases(folders[0], 2)
    assert run("-i", folders[0], "-o", folders[1], "--shard", "3/3").returncode == EXIT_OK
    assert run("-i", folders[0], "-o", folders[1]).returncode == EXIT_OK
    result = run("-i", folders[0], "-o", folders[1], "--skip-existing")
    assert (result.returncode, result.stderr) == (EXIT_OK, "")
    assert result.stdout == "nothing to do: 2 cases in this part of the folder, all done\n"


def test_a_folder_under_the_name_of_a_result_is_no_result(folders, run):
    names = write_cases(folders[0], 1)
    (folders[1] / names[0]).mkdir(parents=True)
    np.savez(folders[0] / names[0], imgs=IMAGE, boxes=BOX)
    result = run("-i", folders[0], "-o", folders[1], "--skip-existing")
    assert result.returncode == EXIT_CASE_FAILED
    assert "cannot be written (Is a directory)" in result.stderr
    assert (folders[1] / names[0]).is_dir()
