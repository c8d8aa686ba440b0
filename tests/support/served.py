"""A server in a thread of the tests, with a model that needs no networks; and a volume with an object for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import sleep

import numpy as np
from nnInteractive.inference.remote import nnInteractiveRemoteInferenceSession

from inference.model.metadata import PIXEL_EDGES
from inference.serve.app import Server
from inference.serve.cli import listener
from inference.serve.connections import http_server
from inference.serve.engine import Engine
from inference.serve.leases import Leases
from inference.serve.limits import Limits
from inference.serve.room import Room
from tests.support.fake_model import FakeFollower, FakeModel

MB = 2**20
ORDINARY = Limits()
SHAPE = (12, 64, 80)
# What is bright in `volume`, and a box around it on one slice, as half-open intervals.
OBJECT = np.s_[3:9, 20:40, 30:60]
BOX = [[5, 6], [16, 44], [26, 64]]


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Served:
    """A server that runs.

    Attributes:
        clock: of its leases.
    """

    url: str
    port: int
    engine: Engine
    leases: Leases
    clock: Clock

    def client(self, token: str | None = None) -> nnInteractiveRemoteInferenceSession:
        """The real client, connected."""
        return nnInteractiveRemoteInferenceSession(self.url, api_key=token)


@contextmanager
def served(
    model: FakeModel | None = None, limits: Limits = ORDINARY, token: str | None = None, room: int = 64 * MB
) -> Iterator[Served]:
    engine = Engine(model or FakeFollower(box_convention=PIXEL_EDGES), Room(room), 2, limits)
    clock = Clock()
    leases = Leases(engine, limits, clock)
    with listener("127.0.0.1", 0) as socket:
        port = socket.getsockname()[1]
        app = Server(engine, limits, None, token, leases).app
        server = http_server(app, limits)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        while not server.started:
            sleep(0.005)
        try:
            yield Served(f"http://127.0.0.1:{port}", port, engine, leases, clock)
        finally:
            server.should_exit = True
            thread.join()
            engine.close()


def volume() -> np.ndarray:
    """A bright block, the same on each of its slices, in something that every slice has darker."""
    imgs = np.full(SHAPE, 40, np.uint8)
    imgs[:, ::2] = 60
    imgs[:, :4, :4] = 250  # beyond any box
    imgs[OBJECT] = 250
    return imgs


def block(where=OBJECT) -> np.ndarray:
    """The mask of the object, or of part of it."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[where] = 1
    return mask


def with_image(client: nnInteractiveRemoteInferenceSession, imgs: np.ndarray | None = None) -> np.ndarray:
    """Give a client an image and a buffer, which is returned."""
    imgs = volume() if imgs is None else imgs
    client.set_image(imgs[None], {"spacing": [3.0, 1.0, 1.0]})
    buffer = np.zeros(imgs.shape, np.uint8)
    client.set_target_buffer(buffer)
    return buffer
