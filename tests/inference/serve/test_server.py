"""The server and nnInteractive's own client: what a session does, and whose it is."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
from nnInteractive.inference.remote import ServerAtCapacityError, SessionExpiredError

from inference.serve import wire
from inference.serve.limits import Limits
from tests.support.served import BOX, OBJECT, SHAPE, block, served, volume, with_image

ROOT = Path(__file__).resolve().parents[3]
ON_SLICE = np.s_[5:6, OBJECT[1], OBJECT[2]]
PART_BOX = [[5, 6], [22, 30], [30, 60]]  # around a part of the object


@pytest.fixture(scope="module")
def server():
    with served() as server:
        yield server


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def part(server):
    """What is found in `PART_BOX`."""
    with server.client() as client:
        buffer = with_image(client)
        client.add_bbox_interaction(PART_BOX, True)
    assert 0 < buffer.sum() < block().sum()
    assert not (buffer & ~block()).any()
    return buffer


def test_capabilities_say_what_a_box_prompted_model_can(client):
    assert client.supported_interactions == {
        "bbox2d": True, "bbox3d": True, "lasso": True, "scribble": True, "points": False
    }  # fmt: skip
    assert client.supports_initial_label
    assert client.supports_undo
    assert client.do_autozoom
    assert not client.supports_zero_shot_label_refinement
    assert len(client.preferred_scribble_thickness) == 3
    assert client.ping()


def test_a_box_of_one_slice_finds_the_object_and_its_extent(client):
    buffer = with_image(client)
    assert client.original_image_shape == (1, *SHAPE)
    assert client.add_bbox_interaction(BOX, True) == [[part.start, part.stop] for part in OBJECT]
    np.testing.assert_array_equal(buffer, block())


def test_without_autozoom_it_is_found_on_its_slice(client):
    buffer = with_image(client)
    client.set_do_autozoom(False)
    client.add_bbox_interaction(BOX, True)
    np.testing.assert_array_equal(buffer, block(ON_SLICE))
    client.set_do_autozoom(True)
    client.add_bbox_interaction(BOX, True)
    np.testing.assert_array_equal(buffer, block())


def test_a_box_of_several_slices_holds_the_object(client):
    buffer = with_image(client)
    client.add_bbox_interaction([[4, 8], *BOX[1:]], True)
    np.testing.assert_array_equal(buffer, block(np.s_[4:8, OBJECT[1], OBJECT[2]]))


def test_an_image_is_unpacked_after_the_answer_and_what_is_asked_of_it_waits(server, monkeypatch):
    may_go_on, unpack = threading.Event(), wire.unpack
    monkeypatch.setattr("inference.serve.wire.unpack", lambda packed: may_go_on.wait(30) and unpack(packed))
    with server.client() as client, server.client() as other, ThreadPoolExecutor() as threads:
        client.set_image(volume()[None], {"spacing": [3.0, 1.0, 1.0]})
        client.target_buffer = np.zeros(SHAPE, np.uint8)
        found = threads.submit(client.add_bbox_interaction, BOX, True)
        other.heartbeat()
        assert not found.done()
        may_go_on.set()
        found.result()
        np.testing.assert_array_equal(client.target_buffer, block())


def test_a_session_that_is_closed_while_its_image_is_unpacked_leaves_nothing(server, monkeypatch):
    may_go_on, unpack = threading.Event(), wire.unpack
    monkeypatch.setattr("inference.serve.wire.unpack", lambda packed: may_go_on.wait(30) and unpack(packed))
    with ThreadPoolExecutor() as threads:
        client = server.client()
        client.set_image(volume()[None])
        closed = threads.submit(client.close)
        may_go_on.set()
        closed.result()
    assert server.engine.room.held == 0


def test_boxes_include_and_exclude_and_are_undone_one_by_one(client, part):
    buffer = with_image(client)
    states = [buffer.copy()]
    for box, include in ((BOX, True), (PART_BOX, False), ([[3, 5], *BOX[1:]], True)):
        client.add_bbox_interaction(box, include)
        states.append(buffer.copy())
    expected = block() - part
    np.testing.assert_array_equal(states[2], expected)
    expected[3:5] = block()[3:5]
    np.testing.assert_array_equal(states[3], expected)
    for state in states[-2::-1]:
        assert client.undo()
        np.testing.assert_array_equal(buffer, state)
    assert not client.undo()


@pytest.mark.parametrize("kind", ["scribble", "lasso"])
def test_a_drawing_is_taken_by_its_box(client, kind):
    buffer = with_image(client)
    add = getattr(client, f"add_{kind}_interaction")
    drawing = np.zeros(SHAPE, np.uint8)
    drawing[5, range(16, 44), np.linspace(26, 63, 28).astype(int)] = 1
    add(drawing, True)
    np.testing.assert_array_equal(buffer, block())
    client.reset_interactions()
    frame = [[5, 6], [10, 50], [20, 70]]
    add(drawing[5:6, 10:50, 20:70].astype(bool), True, interaction_bbox=frame)
    np.testing.assert_array_equal(buffer, block())
    add(drawing[5:6, 10:50, 20:70], False, interaction_bbox=frame)
    assert not buffer.any()


def test_a_point_is_refused_and_the_reason_said(client):
    with_image(client)
    with pytest.raises(httpx.HTTPStatusError) as refused:
        client.add_point_interaction([5, 30, 40], True)
    assert refused.value.response.status_code == 400
    assert refused.value.response.json()["detail"].startswith("points are not supported")


def test_a_mask_is_a_start(client):
    buffer = with_image(client)
    client.add_bbox_interaction(BOX, True)
    start = block(np.s_[0:4, 0:10, 5:15])
    client.add_initial_seg_interaction(start, run_prediction=True)
    np.testing.assert_array_equal(buffer, start)
    client.add_bbox_interaction(BOX, True)
    np.testing.assert_array_equal(buffer, start | block())
    assert client.undo()
    np.testing.assert_array_equal(buffer, start)
    assert client.undo()
    np.testing.assert_array_equal(buffer, block())


def test_what_is_drawn_can_wait(client, part):
    buffer = with_image(client)
    assert client.add_bbox_interaction(BOX, True, run_prediction=False) is None
    client.add_bbox_interaction(PART_BOX, False, run_prediction=False)
    client.add_bbox_interaction(BOX, True, run_prediction=False)
    assert client.undo()  # the third
    assert not buffer.any()
    client._predict()
    expected = block() - part
    np.testing.assert_array_equal(buffer, expected)
    assert client._predict() is None
    client.add_bbox_interaction(PART_BOX, True, run_prediction=False)
    client.add_bbox_interaction([[4, 5], *BOX[1:]], False)  # finds what waits, too
    assert not buffer.any()


def test_after_a_reset_nothing_is_left(client, part):
    buffer = with_image(client)
    client.add_bbox_interaction(BOX, True)
    client.add_bbox_interaction(PART_BOX, True, run_prediction=False)
    client.reset_interactions()
    assert not buffer.any()
    assert not client.undo()
    assert client._predict() is None
    client.add_bbox_interaction(PART_BOX, True)
    np.testing.assert_array_equal(buffer, part)


def test_another_image_takes_the_place_of_the_first(client):
    with_image(client)
    client.add_bbox_interaction(BOX, True)
    other = np.ascontiguousarray(volume()[:, :, ::-1])
    buffer = with_image(client, other)
    assert not client.undo()
    client.add_bbox_interaction([*BOX[:2], [80 - 64, 80 - 26]], True)
    np.testing.assert_array_equal(buffer, block()[:, :, ::-1])


def test_two_clients_do_not_see_each_other(server, part):
    with server.client() as first, server.client() as second:
        one, two = with_image(first), with_image(second)
        first.add_bbox_interaction(BOX, True)
        second.add_bbox_interaction(PART_BOX, True)
        np.testing.assert_array_equal(one, block())
        np.testing.assert_array_equal(two, part)
        first.close()
        assert second.undo()


def test_memory_is_given_back(server):
    before = server.engine.room.held
    with server.client() as client:
        with_image(client)
        client.add_bbox_interaction(BOX, True)
        assert server.engine.room.held == before + 12 * 64 * 80 * 9 // 4
    assert server.engine.room.held == before


def test_a_session_ends_when_its_user_does_nothing_though_the_client_is_heard(server):
    with server.client() as client:
        with_image(client)
        for _ in range(13):  # 13 times 45 s
            server.clock.now += 45
            left = client.heartbeat()
        assert left == pytest.approx(600 - 13 * 45)
        assert client.lease_status() == {"remaining_seconds": pytest.approx(left), "idle_timeout_seconds": 600}
        server.clock.now += 45
        for call in (client.heartbeat, client.lease_status, client.undo):
            with pytest.raises(SessionExpiredError, match="no such session any more"):
                call()
    with server.client() as client:  # which lets go of what the other one held
        assert server.engine.room.held == 0
        with_image(client)


def test_what_a_user_does_keeps_a_session(server):
    with server.client() as client:
        buffer = with_image(client)
        for _ in range(3):
            for _ in range(12):
                server.clock.now += 45
                client.heartbeat()
            client.reset_interactions()
        client.add_bbox_interaction(BOX, True)
        assert buffer.any()


DYING = """
import os, sys
sys.modules["torch"] = None  # which the client would load
from tests.support.served import volume
from nnInteractive.inference.remote import nnInteractiveRemoteInferenceSession
client = nnInteractiveRemoteInferenceSession(sys.argv[1])
client.set_image(volume()[None])
os.kill(os.getpid(), 9)
"""


def test_the_session_of_a_client_that_died_ends_soon(server):
    died = subprocess.run([sys.executable, "-c", DYING, server.url], cwd=ROOT)
    assert died.returncode == -9
    assert len(server.leases) == 1
    assert server.engine.room.held > 0
    server.clock.now += 61
    with server.client():
        assert len(server.leases) == 1
        assert server.engine.room.held == 0


def test_there_are_as_many_sessions_as_there_may_be():
    with served(limits=Limits(sessions=2)) as server, ExitStack() as clients:
        first, _ = (clients.enter_context(server.client()) for _ in range(2))
        with pytest.raises(ServerAtCapacityError, match="all 2 sessions of the server are taken"):
            server.client()
        first.close()
        clients.enter_context(server.client())


def test_a_token_that_was_released_opens_nothing(server):
    client = server.client()
    token = client._lease_token
    client.close()
    for given in (token, "", "x" * 43):
        answer = httpx.post(f"{server.url}/undo", headers={"X-Lease-Token": given}, json={})
        assert answer.status_code == 410
    assert httpx.post(f"{server.url}/release", headers={"X-Lease-Token": token}).json() == {"released": True}


def test_metrics_count(server):
    with server.client() as client:
        with_image(client)
        client.add_bbox_interaction(BOX, True)
        text = httpx.get(f"{server.url}/metrics").text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(figures['qmedsam_requests_total{path="/add_bbox_interaction",status="200"}']) >= 1
    assert float(figures['qmedsam_request_seconds_count{path="/set_image"}']) >= 1
    assert float(figures["qmedsam_sessions"]) == 1
    assert float(figures["qmedsam_memory_held_bytes"]) == 12 * 64 * 80 * 9 // 4
    assert float(figures["qmedsam_memory_limit_bytes"]) == server.engine.room.total
    assert float(figures["process_resident_memory_bytes"]) > 2**20
