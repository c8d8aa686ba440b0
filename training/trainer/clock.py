"""The clock of a run: how long it has trained, how fast, and how long it waited for data."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from training.data.loader import Loader
from training.trainer.run import RunState


class Clock:
    """Counts training time into the state of a run; what is saved or validated while it pauses is not counted.

    The rates are those since the epoch began, or since this start went on with it.
    """

    def __init__(self, state: RunState, loader: Loader) -> None:
        self._state, self._loader = state, loader
        self.begin_epoch()

    def begin_epoch(self) -> None:
        self._samples, self._seconds, self._waited = self._state.samples, self._state.seconds, self._loader.wait_seconds
        self._tick = time.monotonic()

    def count_step(self) -> None:
        """Add the time since the last step, or since the last pause."""
        now = time.monotonic()
        self._state.seconds += now - self._tick
        self._tick = now

    @contextmanager
    def paused(self) -> Iterator[None]:
        yield
        self._tick = time.monotonic()

    @property
    def samples_per_second(self) -> float:
        return self._per_second(self._state.samples - self._samples)

    @property
    def loader_share(self) -> float:
        """Part of the time that a step has waited for its batch, 0..1."""
        return self._per_second(self._loader.wait_seconds - self._waited)

    def _per_second(self, amount: float) -> float:
        seconds = self._state.seconds - self._seconds
        return amount / seconds if seconds > 0 else 0.0
