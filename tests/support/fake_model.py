"""A model pair that needs no networks: the object of a box is what is bright inside it."""

import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from inference.model.metadata import AFTER_PADDING, INDICES, Metadata
from inference.model.pair import Block, Followed, Scored

STATE = ("count", "last_box")


def metadata(
    input_size: int = 64, logit_size: int | None = None, box_convention: str = INDICES, state: tuple[str, ...] = ()
) -> Metadata:
    return Metadata(
        model="light",
        encoder="fake",
        input_size=input_size,
        logit_size=logit_size or input_size,
        normalise=AFTER_PADDING,
        box_convention=box_convention,
        embeddings=("image_embedding",),
        precision="float32",
        pair="0123",
        state=state,
    )


class FakeModel:
    """Under the interface of `inference.model.pair.ModelPair`; the embedding is the input itself.

    Attributes:
        passes: inputs that were encoded. prompts: boxes (n, 4) of every block that was decoded, in input pixels.
        prepared: what `prepare` was told last, whether objects are followed.
    """

    def __init__(self, threads: int = 2, **settings) -> None:
        self.metadata, self.threads = metadata(**settings), threads
        self.passes: list[np.ndarray] = []
        self.prompts: list[np.ndarray] = []
        self.prepared: bool | None = None
        self._lock = threading.Lock()

    def prepare(self, streams: int, follow: bool = False, block: int = 1) -> None:
        assert 1 <= streams <= self.threads
        self.prepared = follow

    def encode(self, image: np.ndarray) -> list[np.ndarray]:
        with self._lock:
            self.passes.append(image)
        return [image]

    def decode(self, blocks: Iterable[Block]) -> Iterator[Scored]:
        assert not self.prepared
        for block in blocks:
            with self._lock:
                self.prompts.append(block.boxes.copy())
            yield self.say(block)

    def say(self, block: Block) -> Scored:
        return Scored(self._bright(*block), np.full(len(block.boxes), 0.75, np.float32))

    def _bright(self, embeddings: list[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        step = self.metadata.input_size // self.metadata.logit_size
        bright = embeddings[0][0, 0, step // 2 :: step, step // 2 :: step] > 0.5
        centres = (np.arange(self.metadata.logit_size) + 0.5) * step
        columns = (boxes[:, None, 0] <= centres) & (centres <= boxes[:, None, 2])
        rows = (boxes[:, None, 1] <= centres) & (centres <= boxes[:, None, 3])
        inside = rows[:, :, None] & columns[:, None, :] & bright
        return np.where(inside, 4.0, -4.0).astype(np.float32)


class Step(NamedTuple):
    """An object on a slice, as the volume decoder got it: its box, its place (3,), and the two parts of its state."""

    box: tuple[float, ...]
    place: tuple[float, ...]
    count: float
    last_box: tuple[float, ...]


class FakeFollower(FakeModel):
    """With a volume decoder, whose state counts the slices before, and holds the box of the last one.

    Attributes:
        steps: all objects on all slices that were followed.
    """

    def __init__(self, threads: int = 2, lasts: float = np.inf, **settings) -> None:
        """Objects are present on so many slices from their first one on."""
        super().__init__(threads, **settings, state=STATE)
        self.lasts = lasts
        self.steps: list[Step] = []
        self._memory = threading.local()

    def follow(self, embeddings, box, place, neighbours, state) -> Followed:
        assert self.prepared
        count, last_box = state or (np.zeros((1, 1), np.float32), np.zeros((1, 4), np.float32))
        maps = (1, 2, *[self.metadata.input_size // 4] * 2)
        assert (box.shape, place.shape, neighbours.shape) == ((1, 4), (1, 3), maps)
        assert {part.dtype for part in (box, place, neighbours, count, last_box)} == {np.dtype(np.float32)}
        with self._lock:
            at, last = tuple(place[0].tolist()), tuple(last_box[0].tolist())
            self.steps.append(Step(tuple(box[0].tolist()), at, count.item(), last))
        self._forget()
        self._memory.given = [count + 1, box.copy()]
        presence = 2.0 if count.item() < self.lasts else -2.0
        return Followed(self._bright(embeddings, box), presence, list(self._memory.given))

    def encode(self, image):
        self._forget()
        return super().encode(image)

    def _forget(self) -> None:
        """As the engine does, use the memory of this thread's last call for something else."""
        for part in getattr(self._memory, "given", ()):
            part.fill(np.nan)
