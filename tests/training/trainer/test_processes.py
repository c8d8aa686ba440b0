"""Two processes that train one model, as torchrun starts them, on a CPU: in step, to one result, and patient."""

import os
import socket
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.support.data_root import write_phantom_root, write_validation_case
from tests.support.small_run import same_weights, scored, small_run
from tests.support.small_sam import small_sam
from training.data.loader import Loader
from training.model import MODELS
from training.trainer import loop, processes, validation
from training.trainer.loop import train

PROCESSES = 2
TIMEOUT = timedelta(seconds=12)  # of what the processes do in step
VALIDATION_SECONDS = 14  # longer than that
LONGEST = 180  # seconds: a test that hangs is stopped


def settings(folder: Path, name: str, *overrides: str):
    """Two epochs of three steps of one image on each process."""
    common = ["data.batch_size=1", f"validation.root={folder / 'val'}", "validation.every_epochs=2"]
    return small_run(folder / "data", folder / name, *common, *overrides)


def work(rank: int, folder: Path, port: int) -> None:
    """What one process does; leaves what it saw in `<folder>/<rank>.pt`."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(PROCESSES)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    MODELS["small"] = small_sam
    torch.set_num_threads(1)
    seen = {"samples": [], "validations": 0}

    class NotingLoader(Loader):
        def samples(self, step: int) -> np.ndarray:
            samples = super().samples(step)
            seen["samples"].append((step, samples.tolist()))
            return samples

    def validate(*_: object):
        seen["validations"] += 1
        time.sleep(VALIDATION_SECONDS)
        return scored(0.5)

    validation.validate = validate
    loop.Loader = NotingLoader
    dist.init_process_group("gloo", timeout=TIMEOUT)
    run = train(settings(folder, "whole"))
    seen["model"] = {name: value.clone() for name, value in run.model.named_parameters()}
    seen["losses"] = [row["loss"] for row in run.state.steps]

    loop.Loader = Loader
    train(settings(folder, "resumed", "budget.epochs=1", "validation.root=null"))
    train(settings(folder, "resumed", "validation.root=null"))
    torch.save(seen, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of two runs in two processes, `whole` and `resumed`, and what each process saw."""
    folder = tmp_path_factory.mktemp("processes")
    write_phantom_root(folder / "data")
    write_validation_case(folder / "val", "2DBox_US_0001.npz", seed=1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.spawn(work, (folder, port), PROCESSES, join=False)
    stop = time.monotonic() + LONGEST
    while not context.join(timeout=1):  # raises what a process raised
        if time.monotonic() > stop:
            for process in context.processes:
                process.kill()
            pytest.fail(f"two processes were not done after {LONGEST} s")
    return folder


@pytest.fixture(scope="module")
def seen(trained) -> list[dict]:
    return [torch.load(trained / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


@pytest.mark.slow
def test_all_processes_end_with_the_same_weights_and_losses(seen):
    first, second = (process["model"] for process in seen)
    start = dict(small_sam().named_parameters())
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], start[name]) for name in first)
    assert seen[0]["losses"] == seen[1]["losses"]
    assert len(seen[0]["losses"]) == 6


@pytest.mark.slow
def test_together_they_see_the_batches_of_one_process(seen, trained):
    alone = Loader(settings(trained, "alone", "data.batch_size=2").data)
    assert alone.steps_per_epoch == 3
    for step, (first, second) in enumerate(zip(*(process["samples"] for process in seen), strict=True)):
        assert first[0] == second[0] == step
        assert first[1] + second[1] == alone.samples(step).tolist()


@pytest.mark.slow
def test_the_first_alone_validates_however_long_that_takes(seen):
    assert [process["validations"] for process in seen] == [1, 0]


@pytest.mark.slow
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(trained):
    assert same_weights(trained / "whole/last.pt", trained / "resumed/last.pt")
    assert (trained / "whole/best.pt").exists()


def test_an_epoch_too_small_for_a_batch_on_every_process_is_refused(tmp_path):
    write_phantom_root(tmp_path / "data")
    three = small_run(tmp_path / "data", tmp_path, "data.sampling.samples_per_modality=1").data
    assert len(Loader(three).samples(0)) == 2
    message = "an epoch of 3 samples is less than a batch of 2 for each of 2 processes"
    with pytest.raises(ValueError, match=message):
        Loader(three, rank=1, world_size=2)
    four = small_run(tmp_path / "data", tmp_path, "data.batch_size=1", "data.sampling.samples_per_modality=1").data
    assert [len(Loader(four, rank=rank, world_size=2).samples(0)) for rank in (0, 1)] == [1, 1]


def test_the_others_wait_for_the_first_for_days(monkeypatch):
    asked = {}
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(processes.dist, "new_group", lambda **how: asked.update(how) or "patient")
    monkeypatch.setattr(processes.dist, "barrier", lambda group: asked.update(group=group))
    processes.join_processes("cpu").wait_for_first()
    assert asked["timeout"] > timedelta(days=1)
    assert asked["group"] == "patient"
