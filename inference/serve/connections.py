"""The connections of a server: how many there may be, and that one is closed whose request does not come."""

import asyncio
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from .limits import Limits

GRACE_SECONDS = 5  # for requests under way when the server is stopped


def http_server(app: Starlette, limits: Limits) -> uvicorn.Server:
    """uvicorn, which says nothing of requests."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=_protocol(limits.request_seconds),
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            limit_concurrency=limits.connections,
            timeout_keep_alive=limits.idle_connection_seconds,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


def _protocol(head_seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's HTTP, in which the head of a request must come in time; uvicorn itself waits for ever."""

    class PromptProtocol(H11Protocol):
        _due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait_for_a_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._wait_for_a_head()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._due:
                self._due.cancel()
            super().connection_lost(exc)

        def _wait_for_a_head(self) -> None:
            """Unless there is one, and its request is under way."""
            is_under_way = self.cycle is not None and not self.cycle.response_complete
            if is_under_way and self._due:
                self._due.cancel()
                self._due = None
            elif not is_under_way and not self._due:
                self._due = self.loop.call_later(head_seconds, self.transport.close)

    return PromptProtocol
