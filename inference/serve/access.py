"""Who may ask: whoever has the token; where there is none, programs on this machine, but no web page."""

import hmac
from pathlib import Path
from secrets import token_urlsafe

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import SetupError

LOCAL = ("127.0.0.1", "localhost", "::1")
LEAST_TOKEN = 16  # characters
NEW_TOKEN = 32  # bytes
OPEN_TO_ALL = "/healthz"


def read_token(path: Path) -> str:
    """The token in a file: its first line.

    Raises:
        SetupError: it cannot be read, or is too short to be a secret.
    """
    try:
        token = path.read_text("ascii").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path}: cannot be read as a token ({error})") from error
    if len(token) < LEAST_TOKEN:
        raise SetupError(
            f"{path}: the token is shorter than {LEAST_TOKEN} characters; `openssl rand -hex 32` makes one"
        )
    return token


def new_token() -> str:
    """A token that nobody can guess."""
    return token_urlsafe(NEW_TOKEN)


class Access:
    """Lets through what may ask, and answers the rest.

    A web page that a user looks at can send requests to servers on the user's machine. It cannot leave away `Origin`;
    or it has a name of its own that leads there, which is then the request's `Host`.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refused := self._refused(scope["path"], Headers(scope=scope))):
            await refused(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refused(self, path: str, headers: Headers) -> JSONResponse | None:
        if "origin" in headers:
            return _answer(403, "web pages may not ask this server")
        if path == OPEN_TO_ALL:
            return None
        if self._token is None:
            return None if _name(headers.get("host", "")) in LOCAL else _answer(403, "this server is for this machine")
        given = headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(given, b"Bearer " + self._token.encode("ascii")):
            return _answer(401, "the token (in viewers: API key) is missing or wrong")
        return None


def _name(host: str) -> str:
    """The name in a `Host` header, without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].lower()


def _answer(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"detail": reason}, status, {"Connection": "close"})
