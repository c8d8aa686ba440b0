"""What `qmedsam serve` does."""

import logging
import os
import socket
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from ..errors import EXIT_OK, SetupError
from ..memory_limit import MB, memory_limit
from .arguments import parse
from .limits import Limits

log = logging.getLogger("qmedsam")

LIBRARIES = 100 * MB  # of the server, beside those of the runtime
LEAST_ROOM = 32 * MB  # for images, or there is no sense in a server


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal comes; returns the exit status (see `inference.serve.arguments.EPILOG`).

    Raises:
        SetupError: it cannot begin.
        SystemExit: the command line is wrong, or asks for help only; or a signal came.
    """
    parsed = parse(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in `inference.cli`
    from ..model.pair import ModelPair
    from ..segment.memory import share_out

    try:
        from .access import LOCAL, new_token, read_token
        from .app import Server
        from .connections import http_server
        from .engine import Engine
        from .room import Room
    except ImportError as error:
        library = (error.name or "more libraries").partition(".")[0]
        raise SetupError(
            f"serving needs {library}, of the extra 'serve': pip install '.[serve]' where QMedSAM's sources are"
        ) from error

    is_local = parsed.host in LOCAL
    token = read_token(parsed.token) if parsed.token else None if is_local else new_token()
    limits = replace(Limits(), sessions=parsed.sessions)
    with (
        listener(parsed.host, parsed.port) as bound,
        closing(ModelPair(parsed.weights, parsed.precision, parsed.threads, parsed.cache)) as model,
    ):
        share = share_out(model.metadata, 1, memory_limit(parsed.memory), model.threads)
        room = Room(share.case_bytes - LIBRARIES)
        if room.total < LEAST_ROOM:
            raise SetupError(f"the memory limit leaves {max(0, room.total // MB)} MB for images; raise it (--memory)")
        with closing(Engine(model, room, share.lanes, limits)) as engine:
            server = http_server(Server(engine, limits, parsed.window, token).app, limits)
            engine.warm_up()
            sizes = room.total // MB, limits.sessions
            log.info("serving on %s, %d MB for images of up to %d sessions", _url(bound), *sizes)
            if token and not parsed.token:
                log.info("token (API key of viewers): %s", token)
            if not is_local:
                log.warning("what travels is not encrypted: let a proxy do TLS, or an SSH tunnel")
            server.run(sockets=[bound])
    return EXIT_OK


def listener(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        SetupError: the address is not to be had.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SetupError(f"cannot listen on {host}, port {port} ({error.strerror or error})") from error


def _url(bound: socket.socket) -> str:
    address, port = bound.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
