"""`qmedsam page`: serves the page that segments in the browser. It sends files, and takes in nothing."""

import argparse
import json
import logging
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from .arguments import add_address, program
from .errors import EXIT_OK, SetupError

log = logging.getLogger("qmedsam")

BUILT = Path(__file__).resolve().parent.parent / "web" / "dist"  # of a checkout
DISTRIBUTION, PACKAGE = "qmedsam-page", "qmedsam_page"  # of web/pyproject.toml
REMEDY = "in a checkout, `make web` builds one, and `make web-wheel` one to install: pip install web/wheel/*.whl"
HEADERS = "headers.json"  # of a built page: what every answer says of what the page may do
PORT = 8080
TYPES = {
    "": "application/octet-stream",
    ".css": "text/css",
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".zst": "application/zstd",
}


class PageHandler(SimpleHTTPRequestHandler):
    """Answers with files of one folder, never with a list of them."""

    extensions_map = TYPES  # the machine's own may say otherwise
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, headers: dict[str, str], **options: Any) -> None:
        self.page_headers = headers
        super().__init__(*arguments, **options)

    def end_headers(self) -> None:
        """Every answer has the page's headers; the browser asks each time whether a file has changed."""
        for name, value in {**self.page_headers, "Cache-Control": "no-cache"}.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: Any) -> None:
        """Refuse to."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing of what is asked for."""


def default_page() -> Path:
    """Folder of the page that was built in this checkout, else of the one that is installed.

    Raises:
        SetupError: there is neither.
    """
    if BUILT.is_dir():
        return BUILT
    try:
        return Path(str(distribution(DISTRIBUTION).locate_file(PACKAGE)))
    except PackageNotFoundError as error:
        raise SetupError(f"{DISTRIBUTION} is not installed; {REMEDY}") from error


def make_server(folder: Path, host: str, port: int) -> ThreadingHTTPServer:
    """A server of a built page, which `serve_forever` starts.

    Args:
        folder: what `make web` leaves in `web/dist`, and the wheel installs.
        host, port: to listen on; port 0 is any that is free.

    Raises:
        SetupError: there is no page in the folder, or the port is taken.
    """
    try:
        headers = json.loads((folder / HEADERS).read_text())
    except (OSError, ValueError) as error:
        raise SetupError(f"{folder}: no page in it; {REMEDY}") from error
    handler = partial(PageHandler, directory=str(folder), headers=headers)
    try:
        return ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        reason = error.strerror or error
        raise SetupError(f"{host}:{port}: cannot listen there ({reason}); choose another --port") from error


def main(arguments: Sequence[str]) -> int:
    """Serve until stopped; returns the exit status.

    Raises:
        SystemExit: the command line is wrong, or asks for help only; or a signal stopped the run.
        SetupError: as `default_page` and `make_server` say.
    """
    parser = argparse.ArgumentParser(
        prog=f"{program()} page",
        description="Serve the page that segments images in the browser, on this machine. It works without a network.",
    )
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIST",
                        help="a built page (default: the one of this checkout, or that is installed)")  # fmt: skip
    add_address(parser, PORT)
    parsed = parser.parse_args(arguments)
    with make_server(parsed.folder or default_page(), parsed.host, parsed.port) as server:
        log.info("http://%s:%d/ (Ctrl-C ends it)", parsed.host, server.server_port)
        server.serve_forever()
    return EXIT_OK
