"""Whatever a client does wrong is answered in one clear line, costs no other client, and leaves nothing behind."""

import json
import os
import pickle
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from nnInteractive.inference.remote.serialization import pack_array

from inference.serve.limits import Limits
from inference.serve.refused import Refused
from inference.serve.room import Room
from tests.support.fake_model import FakeFollower
from tests.support.served import BOX, MB, SHAPE, block, served, volume, with_image

QUICK = Limits(request_seconds=0.2, silence_seconds=0.2, body_seconds=0.6, drain_seconds=0.2)
TOKEN = "a token that is long enough"
IMAGE = pack_array(volume()[None])


@pytest.fixture(scope="module")
def server():
    with served(limits=QUICK) as server:
        yield server


@pytest.fixture
def ask(server):
    """`ask(path, ...)`: the answer to a request of a session of its own, which still works afterwards."""
    held = server.engine.room.held
    with server.client() as client:
        buffer = with_image(client)

        def ask(path: str, **request) -> httpx.Response:
            headers = {"X-Lease-Token": client._lease_token, **request.pop("headers", {})}
            return httpx.post(f"{server.url}{path}", headers=headers, **request)

        yield ask
        if client.add_bbox_interaction(BOX, True) is None:  # the image is gone
            buffer = with_image(client)
            client.add_bbox_interaction(BOX, True)
        np.testing.assert_array_equal(buffer, block())
    assert server.engine.room.held == held


def reason(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert "\n" not in detail
    return detail


# Arrays and figures that are none


@pytest.mark.parametrize(
    ("path", "meta", "values", "expected"),
    [
        ("/add_lasso_interaction", {}, block(), "'include_interaction' is neither true nor false"),
        ("/add_lasso_interaction", {"include_interaction": "yes"}, block(), "neither true nor false"),
        ("/add_lasso_interaction", {"include_interaction": True}, block()[1:], r"has shape (11, 64, 80)"),
        ("/add_scribble_interaction", {"include_interaction": True}, 0 * block(), "the drawing is empty"),
        ("/add_scribble_interaction", {"include_interaction": True, "interaction_bbox": [[0, 99]] * 3}, block(),
         "not inside the image"),
        ("/add_initial_seg_interaction", {}, block()[:, 1:], "the mask has shape (12, 63, 80), the image (12, 64, 80)"),
    ],
)  # fmt: skip
def test_drawings_and_masks_of_the_wrong_size(ask, path, meta, values, expected):
    answer = ask(path, content=pack_array(values), headers={"X-Meta": json.dumps(meta)})
    assert expected in reason(answer, 400)


@pytest.mark.parametrize(
    ("path", "asked", "expected"),
    [
        ("/add_bbox_interaction", {"include_interaction": True}, "a box is three pairs of numbers"),
        ("/add_bbox_interaction", {"bbox_coords": BOX}, "'include_interaction' is neither"),
        ("/add_bbox_interaction", {"bbox_coords": [[20, 21], *BOX[1:]], "include_interaction": True}, "is outside"),
        ("/set_target_buffer", {"shape": [1, 2, 3], "dtype": "uint8"}, "does not have the image's shape, (12, 64, 80)"),
        ("/set_target_buffer", {}, "does not have the image's shape"),
        ("/set_do_autozoom", {}, "'do_autozoom' is neither true nor false"),
    ],
)
def test_figures_that_are_none(ask, path, asked, expected):
    assert expected in reason(ask(path, json=asked), 400)


@pytest.mark.parametrize(
    ("content", "status", "expected"),
    [
        (b"", 400, "the body is not JSON"),
        (b"{", 400, "the body is not JSON"),
        (b"[" * 50_000, 400, "the body is not JSON"),
        (b"\xff\xfe", 400, "the body is not JSON"),
        (b"[1]", 400, "the body is not a JSON object"),
        (b'{"a": "' + b"x" * 2**16 + b'"}', 413, "the body is 65545 bytes long, 65536 at most"),
    ],
    ids=["empty", "cut", "deep", "no text", "a list", "long"],
)
def test_bodies_that_are_no_json(ask, content, status, expected):
    assert expected in reason(ask("/add_bbox_interaction", content=content), status)


@pytest.mark.parametrize("meta", ["{", "[]", "7"])
def test_headers_that_are_no_json(ask, meta):
    assert "X-Meta is not" in reason(ask("/add_lasso_interaction", content=b"", headers={"X-Meta": meta}), 400)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.stack([volume()] * 3), "shape (3, 12, 64, 80), expected (1, X, Y, Z)"),
        (volume(), "shape (12, 64, 80), expected (1, X, Y, Z)"),
    ],
)
def test_images_that_are_none_are_refused_and_the_one_before_is_gone(server, values, expected):
    with server.client() as client:
        with_image(client)
        with pytest.raises(httpx.HTTPStatusError) as refused:
            client._post_binary("/set_image", {}, pack_array(values))
        assert expected in reason(refused.value.response, 400)
        for call in (lambda: client.add_bbox_interaction(BOX, True), client.undo, client._predict):
            with pytest.raises(httpx.HTTPStatusError) as refused:
                call()
            assert reason(refused.value.response, 400) == "there is no image yet: call set_image first"
        client.reset_interactions()  # as viewers do before there is one
        assert server.engine.room.held == 0


DAMAGED = IMAGE[:-40] + bytes(40)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (pack_array(np.full((1, 2, 2, 2), np.nan)), "the image holds NaN or infinity"),
        (DAMAGED, "a chunk of the array is damaged"),
    ],
)
def test_what_is_wrong_within_an_image_is_said_by_the_next_request(server, body, expected):
    """The image is unpacked after the answer; viewers set their buffer at once, in the same step of the user's."""
    with server.client() as client:
        with_image(client)
        client._post_binary("/set_image", {}, body)
        for call in (lambda: client.set_target_buffer(np.zeros(SHAPE, np.uint8)), client.undo, client._predict):
            with pytest.raises(httpx.HTTPStatusError) as refused:
                call()
            assert reason(refused.value.response, 400) == expected
        assert server.engine.room.held == 0
        with_image(client)
        assert client.add_bbox_interaction(BOX, True)


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("path", ["/set_image", "/add_lasso_interaction", "/add_bbox_interaction"])
def test_nothing_is_unpickled(server, tmp_path, path):
    with server.client() as client:
        with_image(client)
        body = pickle.dumps(Malicious(tmp_path / "made"))
        answer = httpx.post(f"{server.url}{path}", content=body, headers={"X-Lease-Token": client._lease_token})
        assert answer.status_code == 400
    assert not (tmp_path / "made").exists()


# Bodies that lie about their length, come slowly, or are cut off


def request_head(client, length: object, path: str = "/set_image", **headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"X-Lease-Token: {client._lease_token}"]
    lines += [f"Content-Length: {length}"] if length is not None else []
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


def talk(server, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send parts, and read what is answered; nothing where the server closes instead."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            return answer_on(connection)
        except (BrokenPipeError, ConnectionResetError):
            return b""


def answer_on(connection: socket.socket) -> bytes:
    """To the last brace of its JSON, or until the server closes."""
    answer = b""
    while not answer.endswith(b"}") and (part := connection.recv(65536)):
        answer += part
    return answer


def status_of(answer: bytes) -> int:
    return int(answer.split()[1])


def nothing_is_held(server) -> None:
    ends = time.monotonic() + 10
    while server.engine.room.held:
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_an_upload_that_is_cut_off_leaves_nothing(server):
    with server.client() as client:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request_head(client, len(IMAGE)) + IMAGE[: len(IMAGE) // 2])
            ends = time.monotonic() + 10
            while not server.engine.room.held:
                assert time.monotonic() < ends
                time.sleep(0.002)
        nothing_is_held(server)
        with_image(client)


def test_an_upload_that_stops_is_given_up(server):
    with server.client() as client:
        answer = talk(server, request_head(client, len(IMAGE)), IMAGE[:100])
        assert status_of(answer) == 408
        assert f"100 of {len(IMAGE)} bytes came; the rest took too long".encode() in answer
        nothing_is_held(server)
        with_image(client)


def test_an_upload_that_drips_is_given_up(server):
    with server.client() as client:
        parts = [IMAGE[i : i + 10] for i in range(0, 100, 10)]
        answer = talk(server, request_head(client, len(IMAGE)), *parts, pause=0.1)
        assert answer == b"" or status_of(answer) == 408
        nothing_is_held(server)


def test_a_body_that_is_shorter_than_the_array_in_it(server):
    with server.client() as client:
        answer = talk(server, request_head(client, len(IMAGE) - 10) + IMAGE)
        assert status_of(answer) == 400
        assert b"do not have the sizes that they say" in answer
        nothing_is_held(server)


@pytest.mark.parametrize(
    ("length", "status", "expected"),
    [
        (10**15, 413, b"the upload needs 953674317 MB of memory, 64 MB are left"),
        (None, 411, b"the request does not say how long it is"),
        (-1, 400, b"Invalid HTTP request"),
        ("many", 400, b"Invalid HTTP request"),
    ],
)
def test_lengths_that_cannot_be(server, length, status, expected):
    with server.client() as client:
        answer = talk(server, request_head(client, length, Connection="close"))
        assert status_of(answer) == status
        assert expected in answer
        nothing_is_held(server)


def test_an_upload_of_unknown_length_is_refused(server):
    with server.client() as client:
        answer = httpx.post(
            f"{server.url}/set_image", content=iter([IMAGE]), headers={"X-Lease-Token": client._lease_token}
        )
        assert reason(answer, 411) == "the request does not say how long it is"


def test_an_array_that_says_it_is_larger_than_there_is_room_for_is_not_unpacked(server, monkeypatch):
    large = np.zeros((1, 200, 500, 600), np.uint8)  # 57 MB of zeros, some hundred bytes packed
    monkeypatch.setattr("inference.serve.wire.np.empty", lambda *_: pytest.fail("memory is taken"))
    with server.client() as client:
        with pytest.raises(httpx.HTTPStatusError) as refused:
            client.set_image(large)
        assert "the image needs 129 MB of memory, 63 MB are left" in reason(refused.value.response, 413)
        nothing_is_held(server)


@pytest.mark.parametrize(
    "head", [b"", b"POST /claim HTTP/1.1\r\nHost: localhost\r\n", b"GET"], ids=["none", "half", "a word"]
)
def test_a_connection_whose_request_does_not_come_is_closed(server, head):
    assert talk(server, head) == b""


def test_a_second_request_that_does_not_come_closes_the_connection_too(server):
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(whole)
        assert answer_on(connection).endswith(b'{"ok":true}')
        connection.sendall(whole[:20])
        assert connection.recv(65536) == b""


def test_a_connection_outlives_that_of_the_client(server):
    with server.client() as client:
        kept = client._http._transport._pool._keepalive_expiry
    assert kept < Limits().idle_connection_seconds


def test_a_connection_that_is_idle_is_closed():
    limits = Limits(idle_connection_seconds=1)
    with served(limits=limits) as server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer_on(idle).endswith(b'{"ok":true}')
        assert idle.recv(65536) == b""


def test_there_are_as_many_connections_as_there_may_be():
    with served(limits=Limits(connections=3)) as server:
        open_ = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        ends = time.monotonic() + 10
        while httpx.get(f"{server.url}/healthz").status_code != 503:
            assert time.monotonic() < ends
        for connection in open_:
            connection.close()
        while httpx.get(f"{server.url}/healthz").status_code != 200:
            assert time.monotonic() < ends


# Who may ask


def test_with_a_token_nothing_is_answered_without_it():
    with served(token=TOKEN) as server:
        for given in (None, "a token that is wrong", TOKEN[:-1], TOKEN + "x", "ä"):
            headers = {"Authorization": f"Bearer {given}".encode()} if given is not None else {}
            for path in ("/claim", "/set_image", "/add_bbox_interaction", "/release"):
                answer = httpx.post(f"{server.url}{path}", headers=headers)
                assert reason(answer, 401) == "the token (in viewers: API key) is missing or wrong"
            for path in ("/metrics", "/capabilities", "/lease_status"):
                assert httpx.get(f"{server.url}{path}", headers=headers).status_code == 401
        assert httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
        assert httpx.get(f"{server.url}/healthz").json() == {"ok": True}
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            server.client("wrong")
        with server.client(TOKEN) as client:
            buffer = with_image(client)
            client.add_bbox_interaction(BOX, True)
            np.testing.assert_array_equal(buffer, block())
            assert httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_tokens_are_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda given, token: compared.append((given, token)) or given == token)
    with served(token=TOKEN) as server:
        httpx.post(f"{server.url}/claim", headers={"Authorization": "Bearer guess"})
    assert compared == [(b"Bearer guess", f"Bearer {TOKEN}".encode())]


def test_web_pages_may_not_ask(server):
    for token in (None, TOKEN):
        with served(token=token) as other:
            headers = {"Origin": "http://evil.example", "Authorization": f"Bearer {TOKEN}"}
            assert reason(httpx.post(f"{other.url}/claim", headers=headers), 403) == "web pages may not ask this server"
    # Nor under a name that was led here.
    answer = httpx.post(f"{server.url}/claim", headers={"Host": f"evil.example:{server.port}"})
    assert reason(answer, 403) == "this server is for this machine"
    for host in ("localhost", f"LOCALHOST:{server.port}", "127.0.0.1", "[::1]:1527"):
        assert httpx.get(f"{server.url}/capabilities", headers={"Host": host}).status_code == 200


# Faults of the server


class Broken(FakeFollower):
    """Fails on its second object, with words that tell of the image."""

    def follow(self, *arguments):
        if self.steps:
            raise ValueError("patient")
        return super().follow(*arguments)


def test_a_fault_of_ours_is_answered_and_says_nothing_of_the_image(caplog):
    with served(Broken()) as server, server.client() as client:
        buffer = with_image(client)
        with pytest.raises(httpx.HTTPStatusError) as refused:
            client.add_bbox_interaction(BOX, True)
        assert reason(refused.value.response, 500) == "failed for a reason not foreseen (ValueError)"
        assert not client.undo()
        assert not buffer.any()
        client.heartbeat()
        assert server.engine.room.held == 12 * 64 * 80 * 9 // 4
    assert "patient" not in caplog.text
    assert "/add_bbox_interaction failed for a reason not foreseen (ValueError in test_faults.py, line" in caplog.text


def test_memory_that_the_system_does_not_give_is_answered(server, monkeypatch):
    with server.client() as client:
        monkeypatch.setattr("inference.serve.wire.np.empty", raising(MemoryError()))
        client.set_image(volume()[None])
        with pytest.raises(httpx.HTTPStatusError) as refused:
            client.undo()
        assert reason(refused.value.response, 413) == "does not fit in memory"
        monkeypatch.undo()
        nothing_is_held(server)
        with_image(client)


def test_a_busy_server_says_so(server, monkeypatch):
    with server.client() as client:
        with_image(client)
        monkeypatch.setattr(server.engine, "find", raising(Refused(503, "the server is busy")))
        answer = httpx.post(
            f"{server.url}/add_bbox_interaction", headers={"X-Lease-Token": client._lease_token},
            json={"bbox_coords": BOX, "include_interaction": True},
        )  # fmt: skip
        assert reason(answer, 503) == "the server is busy"
        assert answer.headers["Retry-After"] == "10"


@pytest.mark.parametrize("request_", ["box", "undo"])
def test_where_an_answer_does_not_fit_client_and_server_keep_the_same_mask(server, monkeypatch, request_):
    with server.client() as client:
        buffer = with_image(client)
        client.add_bbox_interaction(BOX, True)
        before, hold = buffer.copy(), Room.hold

        def refuse(room: Room, what: str, size: int) -> None:
            hold(room, what, size + 64 * MB if what in ("the mask", "the answer") else size)

        monkeypatch.setattr(Room, "hold", refuse)
        with pytest.raises(httpx.HTTPStatusError, match="413"):
            client.undo() if request_ == "undo" else client.add_bbox_interaction([[0, 4], [0, 30], [0, 40]], True)
        monkeypatch.undo()
        np.testing.assert_array_equal(buffer, before)
        assert client.undo()
        assert not buffer.any()
        assert not client.undo()


def raising(error: Exception) -> Callable[..., object]:
    def fail(*_: object) -> object:
        raise error

    return fail


def test_one_client_does_not_take_the_memory_of_another():
    with served(room=MB) as server, server.client() as first, server.client() as second:
        with_image(first)
        with pytest.raises(httpx.HTTPStatusError) as refused:
            second.set_image(np.zeros((1, 100, 64, 80), np.uint8))
        assert "the image needs 2 MB of memory" in reason(refused.value.response, 413)
        assert first.add_bbox_interaction(BOX, True, run_prediction=False) is None
