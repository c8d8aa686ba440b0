"""Who has a session, and until when."""

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .engine import Engine
from .limits import Limits
from .refused import Refused
from .session import Session

log = logging.getLogger("qmedsam")

TOKEN_BYTES = 32


@dataclass
class Lease:
    """A session, and when its client was heard, and its user did something, last; seconds of the clock."""

    session: Session
    heard: float
    acted: float


class Leases:
    """The sessions by their tokens. On the event loop."""

    def __init__(self, engine: Engine, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._limits, self._clock = engine, limits, clock
        self._leases: dict[str, Lease] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def claim(self) -> str:
        """Open a session; returns its token.

        Raises:
            Refused: there are as many as there may be.
        """
        if len(self) >= self._limits.sessions:
            raise Refused(503, f"all {self._limits.sessions} sessions of the server are taken; try again later")
        token, now = secrets.token_urlsafe(TOKEN_BYTES), self._clock()
        self._leases[token] = Lease(Session(self._engine), now, now)
        log.info("a session began, %d of %d", len(self), self._limits.sessions)
        return token

    @asynccontextmanager
    async def use(self, token: str) -> AsyncIterator[Session]:
        """The session of a user who does something, for one request at a time.

        Raises:
            Refused: there is none.
        """
        lease = self._lease(token)
        async with lease.session.lock:
            lease = self._lease(token)  # it may have been released meanwhile
            lease.acted = lease.heard = self._clock()
            try:
                yield lease.session
            finally:
                lease.acted = lease.heard = self._clock()

    def hear(self, token: str) -> float:
        """The client is still there; returns `seconds_left`. Raises as `use`."""
        self._lease(token).heard = self._clock()
        return self.seconds_left(token)

    def seconds_left(self, token: str) -> float:
        """Until the session ends if its user does nothing. Raises as `use`."""
        return max(0.0, self._limits.idle_seconds - (self._clock() - self._lease(token).acted))

    async def release(self, token: str) -> None:
        """End a session, if there is one."""
        if lease := self._leases.pop(token, None):
            log.info("a session ended, %d of %d are left", len(self), self._limits.sessions)
            async with lease.session.lock:
                lease.session.drop_image()

    async def release_ended(self) -> None:
        """End the sessions whose time is up."""
        for token, lease in list(self._leases.items()):
            if self._is_over(lease):
                await self.release(token)

    def _lease(self, token: str) -> Lease:
        lease = self._leases.get(token)
        if lease is None or self._is_over(lease):
            raise Refused(410, "there is no such session any more: it was idle for too long, or the server began anew")
        return lease

    def _is_over(self, lease: Lease) -> bool:
        if lease.session.lock.locked():  # a request is under way
            return False
        now = self._clock()
        is_silent = now - lease.heard > self._limits.liveness_seconds
        return is_silent or now - lease.acted > self._limits.idle_seconds
