"""The server of the page sends files of one folder with the page's headers, and nothing else."""

import json
import threading
from http.client import HTTPConnection

import pytest

from inference import page
from inference.errors import SetupError

HEADERS = {"Content-Security-Policy": "connect-src 'self'", "Cross-Origin-Opener-Policy": "same-origin"}


@pytest.fixture
def ask(tmp_path):
    """`ask(path, method)`: the answer of a server of a small page, and its body."""
    folder = tmp_path / "dist"
    (folder / "models").mkdir(parents=True)
    (folder / "headers.json").write_text(json.dumps(HEADERS))
    (folder / "index.html").write_text("<p>a page")
    (folder / "runtime.mjs").write_text("export {}")
    (folder / "models" / "encoder.onnx.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "secret.txt").write_text("secret")
    server = page.make_server(folder, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def ask(path, method="GET"):
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        connection.request(method, path)
        answer = connection.getresponse()
        return answer, answer.read()

    yield ask
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/", "text/html; charset=utf-8", b"<p>a page"),
        ("/runtime.mjs", "text/javascript", b"export {}"),
        ("/models/encoder.onnx.gz", "application/gzip", b"\x1f\x8b"),
    ],
)
def test_a_file_comes_as_it_lies_there_with_the_headers_of_the_page(ask, path, kind, body):
    answer, sent = ask(path)
    assert (answer.status, answer.headers["Content-type"], sent) == (200, kind, body)
    assert answer.headers["Content-Encoding"] is None
    assert HEADERS.items() <= dict(answer.headers).items()


@pytest.mark.parametrize("path", ["/models/", "/../secret.txt", "/%2e%2e/secret.txt", "//etc/passwd", "/nothing"])
def test_no_list_of_files_and_nothing_from_elsewhere(ask, path):
    answer, sent = ask(path)
    assert answer.status == 404
    assert b"secret" not in sent
    assert HEADERS.items() <= dict(answer.headers).items()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_takes_in_nothing(ask, method):
    assert ask("/", method)[0].status == 501


def test_a_folder_without_a_page_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(SetupError, match="no page in it; in a checkout, `make web` builds one"):
        page.main([str(tmp_path)])


def test_a_port_that_is_taken_is_refused(tmp_path):
    (tmp_path / "headers.json").write_text("{}")
    with page.make_server(tmp_path, "127.0.0.1", 0) as first, pytest.raises(SetupError, match="choose another --port"):
        page.make_server(tmp_path, "127.0.0.1", first.server_port)


def test_a_container_says_where_it_listens(tmp_path, monkeypatch):
    asked = []

    def make_server(folder, host, port):
        asked.append((host, port))
        raise SetupError

    monkeypatch.setattr(page, "make_server", make_server)
    monkeypatch.setenv("QMEDSAM_HOST", "0.0.0.0")
    for arguments in ([], ["--host", "127.0.0.1", "--port", "9"]):
        with pytest.raises(SetupError):
            page.main([str(tmp_path), *arguments])
    assert asked == [("0.0.0.0", 8080), ("127.0.0.1", 9)]
