"""Memory: what must be there is held, and what only saves time makes way for it."""

import numpy as np
import pytest

from inference.serve.refused import Refused
from inference.serve.room import Room

KB = 2**10


def embeddings(size: int = 100):
    return [np.zeros(size * KB // 2, np.uint8)] * 2


def room_of(size: int) -> Room:
    room = Room(size * KB)
    room.admit(1)
    room.admit(2)
    return room


def test_what_is_held_is_not_given_to_another():
    room = room_of(1000)
    with room.reserved("the image", 600 * KB):
        with pytest.raises(Refused, match=r"the mask needs 1 MB of memory, 0 MB are left") as refused:
            room.hold("the mask", 500 * KB)
        assert refused.value.status == 413
        room.hold("the mask", 400 * KB)
    assert room.left == 600 * KB
    room.release(400 * KB)
    assert room.left == room.total


def test_it_is_given_back_where_something_goes_wrong():
    room = room_of(1000)
    with pytest.raises(ZeroDivisionError), room.reserved("the image", 600 * KB):
        1 / 0  # noqa: B018
    assert room.held == 0


def test_what_was_not_used_for_longest_makes_way():
    room = room_of(350)
    for key in ((1, 0), (1, 1), (2, 0)):
        room.keep(key, embeddings())
    assert room.kept((1, 0)) is not None  # a use of it
    room.keep((2, 1), embeddings())
    assert [room.kept(key) is not None for key in ((1, 0), (1, 1), (2, 0), (2, 1))] == [True, False, True, True]
    room.hold("an image", 200 * KB)
    assert room.kept_bytes == 100 * KB
    assert room.kept((2, 1)) is not None
    room.keep((1, 3), embeddings(200))  # there is no room for it at all
    assert room.kept((2, 1)) is not None


def test_nothing_is_kept_of_who_is_gone():
    room = room_of(1000)
    room.keep((1, 0), embeddings())
    room.keep((2, 0), embeddings())
    room.forget(1)
    room.keep((1, 1), embeddings())
    assert (room.kept((1, 0)), room.kept((1, 1)), room.kept_bytes) == (None, None, 100 * KB)


def test_ahead_is_only_what_drives_nothing_out():
    room = room_of(250)
    assert room.has_room_for_more()
    room.keep((1, 0), embeddings())
    assert room.has_room_for_more()
    room.keep((1, 1), embeddings())
    assert not room.has_room_for_more()
