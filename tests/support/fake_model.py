"""A model pair that needs no networks: the object of a box is what is bright inside it."""

import threading

import numpy as np

from inference.model.metadata import AFTER_PADDING, INDICES, Metadata


def metadata(input_size: int = 64, logit_size: int | None = None, box_convention: str = INDICES) -> Metadata:
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
    )


class FakeModel:
    """Under the interface of `inference.model.pair.ModelPair`; the embedding is the input itself.

    Attributes:
        passes: inputs that were encoded. prompts: boxes (n, 4) of every block that was decoded, in input pixels.
    """

    def __init__(self, threads: int = 2, **settings) -> None:
        self.metadata, self.threads = metadata(**settings), threads
        self.passes: list[np.ndarray] = []
        self.prompts: list[np.ndarray] = []
        self._lock = threading.Lock()

    def prepare(self, streams: int) -> None:
        assert 1 <= streams <= self.threads

    def encode(self, image: np.ndarray) -> list[np.ndarray]:
        with self._lock:
            self.passes.append(image)
        return [image]

    def decode(self, embeddings: list[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        with self._lock:
            self.prompts.append(boxes.copy())
        step = self.metadata.input_size // self.metadata.logit_size
        bright = embeddings[0][0, 0, step // 2 :: step, step // 2 :: step] > 0.5
        centres = (np.arange(self.metadata.logit_size) + 0.5) * step
        columns = (boxes[:, None, 0] <= centres) & (centres <= boxes[:, None, 2])
        rows = (boxes[:, None, 1] <= centres) & (centres <= boxes[:, None, 3])
        inside = rows[:, :, None] & columns[:, None, :] & bright
        return np.where(inside, 4.0, -4.0).astype(np.float32)
