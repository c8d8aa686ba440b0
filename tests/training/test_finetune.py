"""Fine-tuning as a person does it: what is found, held out, learned, scored and written, and what does not do."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
from collections import namedtuple
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from inference.cli import main as inference_main
from inference.model.metadata import read_metadata
from tests.support.small_run import same_weights
from tests.support.small_sam import SIZE, small_sam
from training import finetune
from training.data.labelled_case import LabelledCase, write_labelled_case
from training.data.phantoms import phantom_case_2d, phantom_volume
from training.finetuning import procedures
from training.finetuning.procedures import Procedure
from training.model import MODELS
from training.model.checkpoint import load_model, read_checkpoint, save_checkpoint
from training.trainer import stages, validation
from training.trainer.run import LAST

WEIGHTS = Path(__file__).parents[2] / "weights"
QUICK = ["threads=1", "data.batch_size=2", "data.sampling.samples_per_epoch=4", "schedule.cooldown=0", "log_steps=1"]
RESULT = {"README.md", "finetune.json", "learning_curve.png", "panel.png", "objects.csv"}


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(
        "training.data.preparation.in_parallel", lambda function, items, *_: [function(item) for item in items]
    )


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    """Two images of each of six subjects, in images/ and labels/."""
    folder = tmp_path_factory.mktemp("scans")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(12):
        phantom = phantom_case_2d((90, 120), n_boxes=1 + number % 2, seed=number)
        write_pair(folder, f"p{number // 2}_{number % 2}", phantom.imgs, phantom.gts)
    return folder


def write_pair(folder: Path, name: str, image: np.ndarray, labels: np.ndarray) -> None:
    cv2.imwrite(str(folder / "images" / f"{name}.jpg"), image)
    cv2.imwrite(str(folder / "labels" / f"{name}.png"), labels)


@pytest.fixture
def small(monkeypatch, tmp_path) -> list[str]:
    """Arguments that have a small model fine-tuned, whose result stays in floating point; three epochs of two steps."""
    know_small(monkeypatch)
    save_checkpoint(tmp_path / "small.pt", small_sam())
    settings = ["model=small", f"data.input_size={SIZE}", "budget.epochs=3", *QUICK]
    return ["--checkpoint", str(tmp_path / "small.pt"), *settings]


def know_small(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(MODELS, "small", small_sam)
    as_it_is = Procedure(procedures.PROCEDURES["light"].config, lambda best, *_: load_model(best))
    patch.setitem(procedures.PROCEDURES, "small", as_it_is)


def killed_in_its_second_validation(data: Path, folder: Path, arguments: list[str]) -> None:
    """For a process of its own."""
    calls, score = [], validation.score

    def scored_or_killed(*given):
        calls.append(given)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return score(*given)

    with pytest.MonkeyPatch.context() as patch:
        know_small(patch)
        patch.setattr(validation, "score", scored_or_killed)
        run(data, folder, *arguments)


def run(data: Path, folder: Path, *arguments: object) -> int:
    places = ["--out", folder / "out", "--work", folder / "work"]
    return finetune.main(list(map(str, [data, *places, *arguments])))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.mark.slow
def test_it_splits_learns_scores_and_writes_nothing_that_is_not_better(scans, small, tmp_path, capsys):
    by_subject = ["--subject", r"^(p\d)_", "--held-out", 2]
    assert run(scans, tmp_path, *by_subject, *small) == 1
    said = capsys.readouterr()
    assert "subjects: 6 in 12 files, by the pattern" in said.out
    assert "held out: 2 subjects, 4 files, 6 objects" in said.out
    assert "Not shown to be worth it" in said.out
    assert "nothing was put into" in said.err
    assert files(tmp_path / "out") == set()

    learned = {path.stem[:2] for path in (tmp_path / "work/train").rglob("*.npz")}
    scored = {path.stem.split("_")[-2] for path in (tmp_path / "work/held_out/imgs").iterdir()}
    assert learned | scored == {f"p{number}" for number in range(6)}
    assert not learned & scored

    # Once more, by force: what was trained is not trained again.
    before = (tmp_path / "work/run" / LAST).stat().st_mtime_ns
    assert run(scans, tmp_path, *by_subject, "--force", *small) == 0
    assert (tmp_path / "work/run" / LAST).stat().st_mtime_ns == before
    assert files(tmp_path / "out") == {*RESULT, "encoder.onnx", "decoder.onnx", "small.pt"}
    objects = pd.read_csv(tmp_path / "out/objects.csv")
    assert len(objects) == 6
    # On torch and as a pair: the same model, and the same masks but for rounding.
    np.testing.assert_allclose(objects["dsc tuned"], objects["dsc tuned int8"], atol=0.02)
    assert read_checkpoint(tmp_path / "out/small.pt").model_name == "small"
    card = (tmp_path / "out/README.md").read_text()
    assert "| structure | objects | before | tuned | tuned int8 | gain | 95 % interval |" in card
    assert json.loads((tmp_path / "out/finetune.json").read_text())["held out"] in card
    segs = tmp_path / "segs"
    arguments = ["-i", tmp_path / "work/held_out/imgs", "-o", segs, "--weights", tmp_path / "out"]
    assert inference_main(list(map(str, arguments))) == 0
    assert len(files(segs)) == 4

    # Other settings are no continuation.
    assert run(scans, tmp_path, *by_subject, *small, "optimizer.lr=0.1") == 2
    assert "was begun with other settings; remove it" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_run_ends_where_an_uninterrupted_one_does(scans, small, tmp_path):
    arguments = ["--held-out", 2, "--force", *small]
    assert run(scans, tmp_path / "whole", *arguments) == 0
    killed = multiprocessing.get_context("spawn").Process(
        target=killed_in_its_second_validation, args=(scans, tmp_path / "stopped", arguments)
    )
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert read_checkpoint(tmp_path / "stopped/work/run" / LAST).extra["state"]["step"] == 4
    assert files(tmp_path / "stopped/out") == set()
    assert run(scans, tmp_path / "stopped", *arguments) == 0

    whole, stopped_at = tmp_path / "whole", tmp_path / "stopped"
    assert same_weights(whole / "work/run/best.pt", stopped_at / "work/run/best.pt")
    for name in ("encoder.onnx", "decoder.onnx", "objects.csv", "panel.png"):
        assert (whole / "out" / name).read_bytes() == (stopped_at / "out" / name).read_bytes()


def test_a_full_disk_is_one_line(scans, small, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "last.pt")

    arguments = ["--held-out", 2, "--force", *small, "budget.epochs=1"]
    with monkeypatch.context() as patched:
        patched.setattr("training.model.checkpoint.write_atomically", full)
        assert run(scans, tmp_path, *arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "last.pt: cannot be read or written (No space left on device)"
    with monkeypatch.context() as patched:
        usage = namedtuple("usage", "free")
        patched.setattr(shutil, "disk_usage", lambda _: usage(2**20))
        assert run(scans, tmp_path, *arguments) == 2
    assert "1 MB are free on its disk, 500 MB are needed" in capsys.readouterr().err


def test_files_that_do_not_do_are_named_and_too_few_are_refused(tmp_path, capsys):
    folder = tmp_path / "scans"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    phantom = phantom_case_2d((60, 60), n_boxes=1, seed=0)
    for number in range(9):
        write_pair(folder, f"good{number}", phantom.imgs, phantom.gts)
    write_pair(folder, "empty", phantom.imgs, np.zeros_like(phantom.gts))
    write_pair(folder, "full", phantom.imgs, np.ones_like(phantom.gts))
    write_pair(folder, "sizes", phantom.imgs, phantom.gts[:50])
    assert run(folder, tmp_path, "--longest-side", 40) == 2
    lines = capsys.readouterr().err.splitlines()
    for name, reason in (
        ("empty", "its label map holds no object, all of it is 0"),
        ("full", "its label map holds the number 1 alone; objects are numbered from 1, and 0 is background"),
        ("sizes", "'imgs' of shape (60, 60) and 'gts' of shape (50, 60) do not belong together"),
    ):
        assert f"{folder}/images/{name}.jpg: {reason}" in lines
    assert lines[-1] == f"{folder}: 9 images or slices hold objects, 10 are needed"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--checkpoint", "none.pt"], "none.pt: No such file"),
        (["--subjects", "none.csv"], "none.csv: cannot be read"),
        (["--subject", "x"], "--subject 'x': not found in 12 file names"),
        (["--subject", r"p\d"], "6 subjects: 10 are needed to hold 5 out; --held-out 3 makes do with 3"),
        (["optimizer.speed=1"], "unknown setting optimizer.speed"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_anything_is_learned(
    scans, tmp_path, capsys, monkeypatch, arguments, reason
):
    monkeypatch.setattr(finetune, "learn", lambda *_: pytest.fail("learned for nothing"))
    assert run(scans, tmp_path, *arguments) == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


def test_folders_that_do_not_do(scans, tmp_path, capsys):
    (tmp_path / "bare").mkdir()
    assert run(tmp_path / "bare", tmp_path) == 2
    assert "no label maps found" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    (tmp_path / "out/encoder.onnx").write_text("another's")
    assert run(scans, tmp_path) == 2
    assert "holds files that fine-tuning has not made" in capsys.readouterr().err
    assert run(scans, scans / "inside") == 2
    assert "lies in" in capsys.readouterr().err


def test_scans_in_the_unit_of_the_scanner_need_their_modality(tmp_path, capsys):
    for name in ("images", "labels"):
        (tmp_path / "ct" / name).mkdir(parents=True)
        (tmp_path / "ct" / name / "a.nii.gz").write_bytes(b"")
    assert run(tmp_path / "ct", tmp_path) == 2
    assert "a.nii.gz: CT is windowed, all else is not; say --modality CT" in capsys.readouterr().err


@pytest.mark.slow
def test_the_light_model_learns_real_images_and_volumes_beside_replayed_ones(
    shared_data, tmp_path, capsys, monkeypatch
):
    """Clavicles, a phantom volume and replayed images: an int8 pair as good as its floating-point model."""
    monkeypatch.setattr(stages, "CALIBRATION_BATCHES", 2)
    folder = tmp_path / "scans/X-Ray/clavicles"
    folder.mkdir(parents=True)
    for path in sorted((shared_data / "train/X-Ray/jsrt_clavicles").iterdir())[:20]:
        (folder / path.name).symlink_to(path)
    phantom = phantom_volume((6, 48, 48), n_boxes=1, seed=1)
    volume = LabelledCase(phantom.imgs, phantom.gts, np.float32([2, 1, 1]))
    write_labelled_case(tmp_path / "scans/CT/phantoms/a.npz", volume)
    write_labelled_case(tmp_path / "known/MR/phantoms/a.npz", volume)
    settings = ["budget.epochs=1", "data.clips.length=3", *QUICK]
    replay = ["--replay", tmp_path / "known", "--replay-share", 0.5]
    assert run(tmp_path / "scans", tmp_path, "--held-out", 2, *replay, "--force", *settings) == 0

    said = capsys.readouterr().out
    assert "11 in 11 files, each file taken for one" in said
    assert "and 1 replayed" in said
    out = tmp_path / "out"
    assert files(out) == {*RESULT, "encoder.onnx", "decoder.onnx", "volume_decoder.onnx", "light.pt"}
    assert read_metadata(out / "encoder.onnx").precision == "int8"
    scores = pd.read_csv(out / "objects.csv")
    assert abs((scores["dsc tuned int8"] - scores["dsc tuned"]).mean()) < 0.02
    assert (scores["dsc tuned"] > 0.7).all()
    assert {"dsc before", "dsc before int8"} <= set(scores)
    replayed = [path.relative_to(tmp_path / "work/train").parts[0] for path in (tmp_path / "work/train").rglob("a.npz")]
    assert "MR replayed" in replayed
    assert not same_weights(out / "light.pt", WEIGHTS / "light.pt")
