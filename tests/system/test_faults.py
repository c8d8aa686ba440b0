"""Faults while a run is under way: every other case is done, results are whole or absent, the exit status tells."""

import os
import re
import resource
import subprocess
import sys
from contextlib import closing

import cv2
import numpy as np
import pytest

from inference import run as run_module
from inference.arguments import Shard
from inference.errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_SETUP, SetupError
from inference.jobs import case_paths, folder_jobs, picture_job
from inference.model.metadata import ENCODER, PAIR
from inference.model.pair import ModelPair
from inference.options import Options
from inference.run import run_jobs
from inference.segment.segment_case import segment_case
from tests.support import hostile
from tests.system.conftest import ROOT
from tests.system.small_cases import BOX, IMAGE, whole_results, write_cases

LIMIT = 4 * 2**30


class TestDisk:
    def test_full(self, folders, run):
        """A limit on the size of files stands in for a full disk: the write fails half-way in the same manner."""
        write_cases(folders[0], 1)
        noisy = np.random.default_rng(0).uniform(0, 1, (400, 2)) * 300
        boxes = np.concatenate([noisy, noisy + 60], axis=1)
        np.savez(folders[0] / "2DBox_CT_000b.npz", imgs=np.zeros((400, 400), np.uint8), boxes=boxes)
        write_cases(folders[0], 3)
        assert (
            run("-i", folders[0], "-o", folders[1].parent / "elsewhere").returncode == EXIT_OK
        )  # which also keeps the models
        result = run(
            "-i",
            folders[0],
            "-o",
            folders[1],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)),
        )
        assert result.returncode == EXIT_CASE_FAILED
        assert re.search(r"ERROR: 2DBox_CT_000b.npz: cannot be written \(File too large\)", result.stderr)
        assert "1 of 4 cases failed: 2DBox_CT_000b.npz" in result.stderr
        assert len(whole_results(folders[1])) == 3
        assert len(list(folders[1].iterdir())) == 3

    def test_that_takes_no_files(self, folders, run):
        write_cases(folders[0], 1)
        result = run("-i", folders[0], "-o", "/proc/self")
        assert result.returncode == EXIT_SETUP
        assert re.fullmatch(r"ERROR: /proc/self: cannot write to the output folder \(user \d+: .*\)\n", result.stderr)

    def test_result_whose_name_is_taken_by_a_folder(self, folders, run):
        write_cases(folders[0], 2)
        (folders[1] / "2DBox_CT_000.npz").mkdir(parents=True)
        result = run("-i", folders[0], "-o", folders[1])
        assert result.returncode == EXIT_CASE_FAILED
        assert "2DBox_CT_000.npz: cannot be written (Is a directory)" in result.stderr
        assert (folders[1] / "2DBox_CT_001.npz").is_file()


class TestWeights:
    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (lambda data: b"", "not a whole ONNX file"),
            (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "not a whole ONNX file"),
            (lambda data: data[: len(data) // 2], "not a whole ONNX file"),
            (lambda data: data[: len(data) // 2] + bytes(999) + data[len(data) // 2 + 999 :], "is damaged"),
        ],
    )
    def test_damaged(self, tmp_path, folders, run, untrained, damage, reason):
        write_cases(folders[0], 1)
        good = untrained("light")[1]
        for name in PAIR:
            (tmp_path / name).write_bytes((good / name).read_bytes())
        (tmp_path / ENCODER).write_bytes(damage((good / ENCODER).read_bytes()))
        result = run("-i", folders[0], "-o", folders[1], "--cache", tmp_path / "cache", weights=tmp_path)
        assert result.returncode == EXIT_SETUP
        assert re.fullmatch(f"ERROR: {re.escape(str(tmp_path))}.*{reason}.*\n", result.stderr)


def test_hostile_folder(folders, run):
    good = write_cases(folders[0], 2)
    reasons = hostile.write_hostile(folders[0])
    (folders[0] / "two\nlines.npz").write_bytes(b"")
    (folders[0] / ".hidden.npz").write_bytes(b"")
    result = run("-i", folders[0], "-o", folders[1])
    assert result.returncode == EXIT_CASE_FAILED
    assert whole_results(folders[1]) == good
    *problems, summary = result.stderr.splitlines()
    assert len(problems) == len(reasons) + 1
    for name, reason in (reasons | {r"two\nlines.npz": "not a whole npz file"}).items():
        assert re.search(f"^ERROR: {re.escape(name)}: .*{reason}", result.stderr, re.MULTILINE)
        assert name in summary


def jobs_of(folders):
    return folder_jobs(case_paths(folders[0]), folders[1])


@pytest.fixture(scope="module")
def model(untrained):
    with closing(ModelPair(untrained("light")[1])) as model:
        yield model


class TestInOneProcess:
    @pytest.mark.parametrize("fault", [RuntimeError("two\nlines"), MemoryError(), ZeroDivisionError(), OSError("odd")])
    def test_a_fault_nobody_foresaw_costs_one_case(self, folders, model, monkeypatch, caplog, fault):
        names = write_cases(folders[0], 3)
        folders[1].mkdir()

        def segment_but_one(case, *others):
            if case.boxes[0, 0] == 11:
                raise fault
            return segment_case(case, *others)

        monkeypatch.setattr(run_module, "segment_case", segment_but_one)
        np.savez(folders[0] / names[1], imgs=IMAGE, boxes=BOX + 1)
        assert run_jobs(jobs_of(folders), model, Options(), LIMIT) == EXIT_CASE_FAILED
        assert whole_results(folders[1]) == [names[0], names[2]]
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert errors[0].startswith(f"{names[1]}: ")
        assert len(errors[0].splitlines()) == 1
        assert errors[1] == f"1 of 3 cases failed: {names[1]}"

    def test_a_model_that_cannot_be_loaded_ends_the_run(self, folders, model, monkeypatch):
        write_cases(folders[0], 1)
        folders[1].mkdir()

        def fail(*_):
            raise SetupError("weights/encoder.onnx: broken")

        monkeypatch.setattr(run_module, "segment_case", fail)
        with pytest.raises(SetupError):
            run_jobs(jobs_of(folders), model, Options(), LIMIT)

    @pytest.mark.parametrize("fault", [RuntimeError("two\nlines"), MemoryError()])
    def test_a_picture_has_the_same_guards(self, tmp_path, model, monkeypatch, caplog, fault):
        cv2.imwrite(str(tmp_path / "scan.png"), IMAGE)

        def fail(*_):
            raise fault

        monkeypatch.setattr(run_module, "segment_case", fail)
        job = picture_job(tmp_path / "scan.png", BOX.tolist(), tmp_path / "mask.png")
        assert run_jobs([job], model, Options(), LIMIT) == EXIT_CASE_FAILED
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) == 1
        assert re.match("scan.png: (failed for a reason not foreseen|does not fit in memory)", errors[0])
        assert len(errors[0].splitlines()) == 1

    def test_too_large_a_picture_is_refused(self, tmp_path, model, caplog):
        cv2.imwrite(str(tmp_path / "scan.png"), np.zeros((1500, 1500), np.uint8))
        job = picture_job(tmp_path / "scan.png", BOX.tolist(), tmp_path / "mask.png")
        assert run_jobs([job], model, Options(), 245 * 2**20) == EXIT_CASE_FAILED
        assert re.search(r"scan.png: .* needs \d+ MB of memory, the limit allows \d MB", caplog.text)

    def test_a_box_that_cannot_be_used_costs_itself_only(self, folders, model, caplog):
        names = write_cases(folders[0], 3)
        folders[1].mkdir()

        np.savez(folders[0] / names[1], imgs=IMAGE, boxes=np.array([[10, 10, 60, 50], [200, 10, 260, 50]]))
        assert run_jobs(jobs_of(folders), model, Options(), LIMIT) == EXIT_CASE_FAILED
        assert whole_results(folders[1]) == names
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert errors == [
            f"{names[1]}: box 2 is outside the image (width 90, height 70, slices 1)",
            f"1 of 3 cases done without some of their boxes: {names[1]}",
        ]

    def test_too_large_a_case_is_refused_and_the_next_one_done(self, folders, model, caplog):
        np.savez(folders[0] / "3DBox_CT_1.npz", imgs=np.zeros((40, 200, 200), np.uint8), boxes=[[9, 9, 3, 99, 99, 5]])
        names = write_cases(folders[0], 1)
        folders[1].mkdir()
        assert run_jobs(jobs_of(folders), model, Options(), 245 * 2**20) == EXIT_CASE_FAILED
        assert re.search(r"3DBox_CT_1.npz: .* needs \d+ MB of memory, the limit allows \d MB", caplog.text)
        assert whole_results(folders[1]) == names


def test_memory_is_flat_over_many_cases(folders, run):
    write_cases(folders[0], 80)
    for number in range(0, 80, 10):  # after every tenth image a volume
        volume = np.stack([IMAGE] * 4)
        np.savez(folders[0] / f"2DBox_CT_{number:03}v.npz", imgs=volume, boxes=[[10, 10, 0, 60, 50, 3]] * 3)
    result = run("-i", folders[0], "-o", folders[1], "--verbose")
    assert result.returncode == EXIT_OK
    peaks = [int(megabytes) for megabytes in re.findall(r"npz: peak memory (\d+) MB", result.stdout)]
    assert len(peaks) == 88
    assert max(peaks[44:]) <= max(peaks[:44]) * 1.03 + 2


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 20])
def test_shards_are_disjoint_and_complete_whatever_their_number(folders, parts):
    names = write_cases(folders[0], 10)
    (folders[0] / "bad.npz").mkdir()
    shards = [Shard(part, parts).of(case_paths(folders[0])) for part in range(1, parts + 1)]
    assert sorted(path.name for shard in shards for path in shard) == [*names, "bad.npz"]
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


class TestPicture:
    def segment(self, path, **environment):
        line = [sys.executable, "-m", "inference", "--image", path, "--box", "1,1,50,50", "-o", f"{path}.mask.png"]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | environment)

    def test_larger_than_memory(self, tmp_path):
        cv2.imwrite(str(tmp_path / "scan.png"), np.zeros((3000, 3000), np.uint8))
        result = self.segment(tmp_path / "scan.png", OPENCV_IO_MAX_IMAGE_PIXELS=str(10**6))
        assert result.returncode == EXIT_CASE_FAILED
        assert "ERROR: scan.png: has more than 1000000 pixels, which the memory limit allows" in result.stderr

    def test_that_is_a_pipe(self, tmp_path):
        os.mkfifo(tmp_path / "scan.png")
        result = self.segment(tmp_path / "scan.png")
        assert result.returncode == EXIT_CASE_FAILED
        assert result.stderr == "ERROR: scan.png: cannot be read (not a regular file)\n"
