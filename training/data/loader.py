"""Batches for a training run: step t always gets the same batch, prepared in the background while a step runs."""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Barrier, Thread

import cv2
import numpy as np
import torch

from training.data.batch import Batch, Draft, cut_planes, draw_batch, render
from training.data.clip_batch import with_clips
from training.data.clips import ClipSample, ClipSource, ReadCase
from training.data.config import DataConfig
from training.data.device_images import DeviceImages
from training.data.index import VolumeIndex, build_index
from training.data.sampling import epoch_counts, epoch_order, sample_weights
from training.data.slices import CaseCache, ReadSlice, lazy_slices, slices_in_memory

ORDER, STEP, CLIPS = 0, 1, 2  # what a random generator is for, so that epoch 3 and step 3 differ


@dataclass(frozen=True)
class Drawn:
    """What the host decides of a batch, and cuts out for it; no tensors, so that another process may make it.

    samples: (batch_size,) sample numbers. clips: none where none are asked for. rng: for what `with_clips` still draws.
    """

    samples: np.ndarray
    draft: Draft
    clips: list[ClipSample]
    rng: np.random.Generator


class Loader:
    """Batches of one training process.

    The batch of step t depends on the configuration, the seed and t (and, with several processes, on the rank) and on
    nothing else: a run that resumes at step t sees what it would have seen. Epochs follow one another; step t is in
    epoch t // steps_per_epoch.

    Attributes:
        steps_per_epoch: steps in which all processes together see the samples of an epoch once.
        wait_seconds: time that `batches` has kept its caller waiting since the loader was made.
    """

    def __init__(
        self,
        config: DataConfig,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
        data: tuple[VolumeIndex, ReadSlice] | None = None,
    ) -> None:
        """Open the data of `config`, or take `data` that another loader opened (`open_data`).

        Raises:
            CaseError: no data, or files that cannot be read.
            ValueError: an epoch without samples, or with too few to give every process its batch.
        """
        self.config = config
        self.device = torch.device(device)
        self.wait_seconds = 0.0
        self._rank, self._world_size = rank, world_size
        self.index, self._read = data or open_data(config)
        self._images: DeviceImages | None = None
        if config.on_device:
            slices = [self._read(sample) for sample in range(len(self.index))]
            self._images = DeviceImages(slices, config.input_size, self.device)

        self._clips: ClipSource | None = None
        if config.clips.per_batch:
            self._clips = ClipSource(self.index, case_reader(self.index, config), config.clips, config.sampling)

        datasets = self.index.datasets
        self._weights = sample_weights(datasets, self.index.sample_datasets, config.sampling)
        modalities = np.array([name.split("/", 1)[0] for name in datasets])
        self._sample_modalities = modalities[self.index.sample_datasets]
        names, available = np.unique(self._sample_modalities[self._weights > 0], return_counts=True)
        self.available = dict(zip(names.tolist(), available.tolist(), strict=True))
        if not self.available:
            raise ValueError(f"{config.root}: no slice holds a target that is sampled (data.targets, data.sampling)")
        self.epoch_counts = epoch_counts(self.available, config.sampling)
        self.steps_per_epoch = steps_per_epoch(sum(self.epoch_counts.values()), config.batch_size, world_size)
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        return self._finish(self._draw(step))

    def _draw(self, step: int) -> Drawn:
        config, samples = self.config, self.samples(step)
        rng = np.random.default_rng([config.seed, STEP, step, self._rank])
        draft = draw_batch(rng, [self._read(int(sample)) for sample in samples], config)
        rng = np.random.default_rng([config.seed, CLIPS, step, self._rank])
        clips: list[ClipSample] = []
        if self._clips is not None:
            drawings = range(config.clips.per_batch)
            clips = [self._clips.draw(rng, config.augmentation, config.input_size) for _ in drawings]
        return Drawn(samples, draft, clips, rng)

    def _finish(self, drawn: Drawn) -> Batch:
        """Do on the device what is left to do."""
        if self._images is None:
            planes = cut_planes(drawn.draft, self.device)
        else:
            planes = self._images.planes(drawn.samples, [sample.members for sample in drawn.draft.samples])
        batch = render(drawn.draft, planes, self.config)
        return with_clips(batch, drawn.rng, drawn.clips, self.config) if self.config.clips.is_on else batch

    def samples(self, step: int) -> np.ndarray:
        """Sample numbers of one step, (batch_size,); fewer only where a whole epoch is smaller than the batch of one
        process alone."""
        epoch, position = divmod(step, self.steps_per_epoch)
        size = self.config.batch_size
        start = (position * self._world_size + self._rank) * size
        return self._order(epoch)[start : start + size]

    def _draw_order(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.config.seed, ORDER, epoch])
        return epoch_order(rng, self._sample_modalities, self._weights, self.epoch_counts)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps start..stop-1, each prepared in the background before it is asked for."""
        with _background(self.config.workers) as pool, self._drawing_processes() as submit_drawing:

            def submit(step: int) -> Future[Batch]:
                if submit_drawing is None:
                    return pool.submit(self.batch, step)
                drawn = submit_drawing(step)
                return pool.submit(lambda: self._finish(drawn.result()))

            waiting: deque[Future[Batch]] = deque()
            try:
                for step in range(start, stop + self.config.ahead):
                    if step < stop:
                        waiting.append(submit(step))
                    if step >= start + self.config.ahead:
                        yield self._wait_for(waiting.popleft())
            finally:
                for future in waiting:
                    future.cancel()

    @contextmanager
    def _drawing_processes(self) -> Iterator[Callable[[int], Future[Drawn]] | None]:
        """Start processes that draw, if `config.processes` asks for any: yields what has a step drawn by one of them.

        They are forked, and share the slices in memory; each decodes and holds the volumes of its own clips. They touch
        neither torch nor the device.
        """
        if not self.config.processes:
            yield None
            return
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # a fork has none of OpenCV's threads, and would wait for them
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(self.config.processes, context, _become_drawer, (self,)) as pool:
            try:
                yield lambda step: pool.submit(_draw_in_process, step)
            except BrokenProcessPool as error:
                reason = "a process that draws batches was killed; if memory ran out, lower data.processes"
                raise ChildProcessError(reason) from error
            finally:
                pool.shutdown(cancel_futures=True)
                cv2.setNumThreads(threads)

    def _wait_for(self, future: Future[Batch]) -> Batch:
        began = time.perf_counter()
        batch = future.result()
        self.wait_seconds += time.perf_counter() - began
        return batch


_loader: Loader | None = None  # of a process that draws


def _become_drawer(loader: Loader) -> None:
    global _loader
    _loader = loader
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the trainer, which ends this process
    Thread(target=_end_with_trainer, daemon=True).start()


def _end_with_trainer() -> None:
    """A trainer that is killed shuts no pool down: its processes would wait for ever, and hold the GPU's memory."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _draw_in_process(step: int) -> Drawn:
    return _loader._draw(step)


def steps_per_epoch(samples: int, batch_size: int, world_size: int) -> int:
    """Whole batches of all processes in an epoch. One process may have an epoch smaller than its batch; of several,
    some would be left without any sample.

    Raises:
        ValueError: there are too few samples.
    """
    if samples == 0:
        raise ValueError("an epoch has no samples: raise data.sampling.samples_per_modality or samples_per_epoch")
    if world_size > 1 and samples < batch_size * world_size:
        raise ValueError(
            f"an epoch of {samples} samples is less than a batch of {batch_size} for each of {world_size} processes: "
            "lower data.batch_size, or raise what data.sampling takes"
        )
    return max(1, samples // (batch_size * world_size))


def open_data(config: DataConfig) -> tuple[VolumeIndex, ReadSlice]:
    """Index the data root of a configuration and open a reader for its slices, lazy or in memory."""
    index = build_index(Path(config.root), config.targets, Path(config.index) if config.index else None)
    if config.in_memory:
        return index, slices_in_memory(index, config.targets)
    return index, lazy_slices(index, config.targets, int(config.cache_gib * 2**30))


def case_reader(index: VolumeIndex, config: DataConfig) -> ReadCase:
    """A reader of whole volumes, by file number; it holds as many decoded ones as `config` allows."""
    limit = float("inf") if config.in_memory else config.cache_gib * 2**30
    cache = CaseCache(limit)
    return lambda number: cache.read(index.root / index.files[number])


def _background(workers: int) -> ThreadPoolExecutor:
    """Threads whose torch operations use one core each, beside the cores of the training step.

    `torch.set_num_threads` sets the calling thread's number, but also the default of threads yet to come: the caller's
    own number is set again afterwards.
    """
    threads = torch.get_num_threads()
    started = Barrier(workers + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first use of torch sets the default number: have that behind us
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(workers, "loader", initializer=start)
    for _ in range(workers):
        pool.submit(int)  # a pool starts a thread per task as long as none is idle
    started.wait()
    torch.set_num_threads(threads)
    return pool
