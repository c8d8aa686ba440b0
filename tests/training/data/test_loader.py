"""The stream of batches: the same for the same seed and step, prepared in the background."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.errors import CaseError
from inference.model.metadata import PIXEL_EDGES
from tests.support.data_root import write_phantom_root
from tests.system.conftest import ROOT
from training.data.batch import Batch, Clips
from training.data.boxes import BoxConfig
from training.data.clips import ClipConfig
from training.data.config import DataConfig
from training.data.loader import Loader
from training.data.sampling import SamplingConfig
from training.data.slices import Slice


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    root = write_phantom_root(tmp_path_factory.mktemp("root"))
    sampling = SamplingConfig("fixed", samples_per_modality=8)
    return DataConfig(root=str(root), batch_size=4, input_size=128, seed=5, sampling=sampling)


@pytest.fixture(scope="module")
def loader(config: DataConfig) -> Loader:
    return Loader(config)


def assert_same(first: Batch, second: Batch) -> None:
    for name in ("images", "masks", "boxes", "pixel_sizes", "image_index"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    assert first.modalities == second.modalities


def test_a_batch_is_what_the_trainer_expects(loader: Loader) -> None:
    for batch in loader.batches(0, loader.steps_per_epoch):
        count = len(batch.boxes)
        assert batch.images.shape == (4, 3, 128, 128)
        assert batch.masks.shape == (count, 128, 128)
        assert batch.boxes.shape == (count, 4)
        assert (batch.images.dtype, batch.masks.dtype, batch.boxes.dtype) == (torch.float32,) * 3
        assert batch.image_index.dtype == torch.int64
        assert batch.images.min() == 0
        assert batch.images.max() == 1
        assert set(batch.masks.unique().tolist()) == {0.0, 1.0}
        assert (batch.image_index.diff() >= 0).all()
        assert torch.bincount(batch.image_index, minlength=4).max() <= 4
        assert set(batch.image_index.tolist()) <= set(range(4))
        assert len(batch.modalities) == 4
        assert (batch.boxes[:, :2] < batch.boxes[:, 2:]).all()


def test_outward_boxes_hold_their_masks(config: DataConfig) -> None:
    outward = Loader(replace(config, boxes=BoxConfig(convention=PIXEL_EDGES, pixel_share=1)))
    for batch in outward.batches(0, 3):
        for mask, (x0, y0, x1, y1) in zip(batch.masks, batch.boxes.tolist(), strict=True):
            rows, columns = torch.nonzero(mask, as_tuple=True)
            # Sides are rounded by up to half an image pixel, which is magnified 8 x 128 / 120 times at most.
            assert x0 <= columns.min() + 4.5
            assert y0 <= rows.min() + 4.5
            assert x1 >= columns.max() + 1 - 4.5
            assert y1 >= rows.max() + 1 - 4.5


def test_a_step_always_gets_the_same_batch(config: DataConfig, loader: Loader) -> None:
    other = Loader(config)
    for step in (7, 2, 100):
        assert_same(loader.batch(step), other.batch(step))


def test_a_resumed_run_sees_what_it_would_have_seen(config: DataConfig, loader: Loader) -> None:
    whole = list(loader.batches(0, 9))
    resumed = list(Loader(replace(config, workers=2, ahead=1)).batches(5, 9))
    for expected, batch in zip(whole[5:], resumed, strict=True):
        assert_same(expected, batch)


def test_lazy_reading_gives_the_same_batches(config: DataConfig, loader: Loader) -> None:
    lazy = Loader(replace(config, in_memory=False, cache_gib=1e-4))
    for step in range(3):
        assert_same(loader.batch(step), lazy.batch(step))


def test_seeds_steps_and_epochs_differ(config: DataConfig, loader: Loader) -> None:
    other = Loader(replace(config, seed=6))
    first = loader.batch(0)
    for batch in (other.batch(0), loader.batch(1), loader.batch(loader.steps_per_epoch)):
        assert not torch.equal(first.images, batch.images)
    assert loader.samples(0).tolist() != loader.samples(loader.steps_per_epoch).tolist()


def test_an_epoch_is_what_the_strategy_says(loader: Loader) -> None:
    # The volume's objects lie on four of its eight slices.
    assert loader.available == {"CT": 4, "Dermoscopy": 2, "US": 6}
    assert loader.steps_per_epoch == 6
    modalities = [name for step in range(6) for name in loader.batch(step).modalities]
    assert {name: modalities.count(name) for name in set(modalities)} == {"CT": 8, "Dermoscopy": 8, "US": 8}


def test_a_data_set_can_be_left_out(config: DataConfig) -> None:
    sampling = SamplingConfig("min", dataset_weights={"Dermoscopy/*": 0})
    loader = Loader(replace(config, sampling=sampling))
    assert set(loader.epoch_counts) == {"CT", "US"}
    assert "Dermoscopy" not in {
        name for step in range(loader.steps_per_epoch) for name in loader.batch(step).modalities
    }


def test_processes_share_an_epoch_without_overlap(config: DataConfig) -> None:
    sampling = SamplingConfig("oversample")
    one = Loader(replace(config, sampling=sampling))
    ranks = [Loader(replace(config, batch_size=2, sampling=sampling), rank=rank, world_size=2) for rank in range(2)]
    assert ranks[0].steps_per_epoch == one.steps_per_epoch
    for step in range(one.steps_per_epoch):
        together = np.concatenate([loader.samples(step) for loader in ranks])
        assert together.tolist() == one.samples(step).tolist()
    assert not torch.equal(ranks[0].batch(0).images, ranks[1].batch(0).images)


def test_waiting_is_measured(config: DataConfig, loader: Loader) -> None:
    def slow(sample: int) -> Slice:
        time.sleep(0.02)
        return loader._read(sample)

    slow_loader = Loader(config, data=(loader.index, slow))
    assert slow_loader.wait_seconds == 0
    for _ in slow_loader.batches(0, 3):
        pass
    assert slow_loader.wait_seconds > 0.1  # 3 batches of 4 reads


def test_batches_are_prepared_ahead_while_a_step_runs(config: DataConfig, loader: Loader) -> None:
    prepared = threading.Semaphore(0)

    def counting(sample: int) -> Slice:
        prepared.release()
        return loader._read(sample)

    stream = Loader(replace(config, ahead=2), data=(loader.index, counting)).batches(0, 10)
    next(stream)
    for _ in range(3 * config.batch_size):  # the batch in hand and two more, without asking
        assert prepared.acquire(timeout=30)
    stream.close()


def test_stopping_early_leaves_no_thread_behind(loader: Loader) -> None:
    before = threading.active_count()
    stream = loader.batches(0, 1000)
    next(stream)
    stream.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("on_device", [False, True])
def test_other_processes_draw_the_same_batches(config: DataConfig, on_device: bool) -> None:
    clips = ClipConfig(per_batch=2, length=3)
    alone = replace(config, input_size=256, on_device=on_device, clips=clips)
    expected = list(Loader(alone).batches(1, 4))
    found = list(Loader(replace(alone, processes=2, workers=2)).batches(1, 4))
    for batch, other in zip(expected, found, strict=True):
        assert_same(batch, other)
        for ours, theirs in zip(batch.clips, other.clips, strict=True):
            for entry in fields(Clips):
                assert torch.equal(getattr(ours, entry.name), getattr(theirs, entry.name)), entry.name


def test_an_error_of_another_process_reaches_the_trainer_and_stopping_leaves_none_behind(
    config: DataConfig, loader: Loader
) -> None:
    def failing_in_others(sample: int) -> Slice:
        if os.getpid() != parent:
            raise CaseError("a.npz is gone")
        return loader._read(sample)

    parent, before = os.getpid(), multiprocessing.active_children()
    with pytest.raises(CaseError, match="is gone"):
        next(Loader(replace(config, processes=1), data=(loader.index, failing_in_others)).batches(0, 2))
    stream = Loader(replace(config, processes=1)).batches(0, 1000)
    next(stream)
    stream.close()
    assert multiprocessing.active_children() == before


def test_a_process_that_is_killed_is_named(config: DataConfig, loader: Loader) -> None:
    def dying(sample: int) -> Slice:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return loader._read(sample)

    parent = os.getpid()
    with pytest.raises(ChildProcessError, match=r"was killed; if memory ran out, lower data\.processes"):
        next(Loader(replace(config, processes=1), data=(loader.index, dying)).batches(0, 2))


TRAINER = """
import multiprocessing, sys, time
from training.data.config import DataConfig
from training.data.loader import Loader

loader = Loader(DataConfig(root=sys.argv[1], batch_size=4, input_size=128, processes=2))
stream = loader.batches(0, 100)
next(stream)
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
time.sleep(100)
"""


def test_the_processes_of_a_trainer_that_is_killed_end_with_it(config: DataConfig) -> None:
    line = [sys.executable, "-c", TRAINER, config.root]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as trainer:
        children = [Path("/proc") / number for number in trainer.stdout.readline().split()]
        assert len(children) == 2
        assert all(child.exists() for child in children)
        trainer.kill()
    for _ in range(100):
        if not any(child.exists() for child in children):
            return
        time.sleep(0.1)
    pytest.fail("processes that draw outlive their trainer")


def test_an_error_reaches_the_trainer(config: DataConfig, loader: Loader) -> None:
    def failing(sample: int) -> Slice:
        raise CaseError("a.npz is gone")

    with pytest.raises(CaseError, match="is gone"):
        next(Loader(config, data=(loader.index, failing)).batches(0, 2))


def test_background_threads_use_one_core_each_and_leave_the_step_its_own(config: DataConfig, loader: Loader) -> None:
    threads = torch.get_num_threads()
    inside: list[int] = []

    def noting(sample: int) -> Slice:
        inside.append(torch.get_num_threads())
        return loader._read(sample)

    torch.set_num_threads(2)
    try:
        for _ in Loader(config, data=(loader.index, noting)).batches(0, 2):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert set(inside) == {1}


def test_an_image_size_of_a_batch_is_never_read_from_another(config: DataConfig, loader: Loader) -> None:
    """Crops of different sizes share one array: a batch of one must equal its row in a batch of four."""
    together = Loader(replace(config, augmentation=config.augmentation.only()), data=(loader.index, loader._read))
    samples = together.samples(0)
    images = together.batch(0).images
    for row, sample in enumerate(samples):
        alone = Loader(
            replace(config, batch_size=1, augmentation=config.augmentation.only()),
            data=(loader.index, lambda _, sample=sample: loader._read(int(sample))),
        )
        torch.testing.assert_close(alone.batch(0).images[0], images[row], atol=1e-4, rtol=0)


def test_batches_of_real_images(shared_data: Path, tmp_path: Path) -> None:
    files = set((shared_data / "train_volumes").iterdir())
    config = DataConfig(
        root=str(shared_data / "train_volumes"), index=str(tmp_path / "index.npz"), in_memory=False, batch_size=6
    )
    loader = Loader(config)
    batch = loader.batch(0)
    assert batch.images.shape == (6, 3, 256, 256)
    assert set(batch.modalities) <= {"CT", "MR", "PET"}
    assert torch.bincount(batch.image_index, minlength=6).min() >= 1
    assert set((shared_data / "train_volumes").iterdir()) == files  # no index either
