"""What is read of a request: as much as it said, as much as there is room for, and only as long as it comes."""

import asyncio
import json
import time
from typing import Any

import numpy as np
from starlette.requests import ClientDisconnect, Request

from .limits import Limits
from .refused import Refused

META = "X-Meta"  # the header with what goes with an array


def length_of(request: Request) -> int:
    """How long a request says its body is, bytes.

    Raises:
        Refused: it does not.
    """
    said = request.headers.get("content-length", "")
    if not said.isdecimal():
        raise Refused(411, "the request does not say how long it is")
    return int(said)


async def read(request: Request, length: int, limits: Limits) -> memoryview:
    """The body of a request, which is so long, and for which there is room.

    Raises:
        Refused: it is not so long, or does not come.
        ClientDisconnect: the client went away.
    """
    body, filled = np.zeros(length, np.uint8).data, 0  # the system gives its pages as they are written
    ends = time.monotonic() + limits.body_seconds
    while True:
        try:
            patience = min(limits.silence_seconds, ends - time.monotonic())
            message = await asyncio.wait_for(request.receive(), patience)
        except TimeoutError as error:
            raise Refused(408, f"{filled} of {length} bytes came; the rest took too long") from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        if filled + len(part) > length:
            raise Refused(400, f"the body is longer than {length} bytes, as it said")
        body[filled : filled + len(part)] = part
        filled += len(part)
        if not message.get("more_body", False):
            request.state.is_read = True
            break
    if filled < length:
        raise Refused(400, f"the body is {filled} bytes long, not {length}, as it said")
    return body


async def drained(request: Request, seconds: float) -> bool:
    """Let the rest of a body that is refused come, and forget it; whether all of it came."""

    async def forget() -> None:
        while (await request.receive()).get("more_body", False):
            pass

    if request.headers.get("content-length", "0") == "0" or getattr(request.state, "is_read", False):
        return True
    try:
        await asyncio.wait_for(forget(), seconds)
    except TimeoutError:
        return False
    return True


async def read_json(request: Request, limits: Limits) -> dict[str, Any]:
    """The body of a request that is JSON.

    Raises:
        Refused: it is too long, does not come, or is no object.
    """
    length = length_of(request)
    if length > limits.json_bytes:
        raise Refused(413, f"the body is {length} bytes long, {limits.json_bytes} at most are expected")
    return _object(bytes(await read(request, length, limits)), "the body")


def read_meta(request: Request) -> dict[str, Any]:
    """What goes with an array: the object in a header, empty where there is none.

    Raises:
        Refused: it is no object.
    """
    return _object(request.headers.get(META, "{}"), f"the header {META}")


def truth(asked: dict[str, Any], name: str, default: bool | None = None) -> bool:
    """A field that is true or false.

    Raises:
        Refused: it is neither, or is not there and has no default.
    """
    value = asked.get(name, default)
    if not isinstance(value, bool):
        raise Refused(400, f"'{name}' is neither true nor false")
    return value


def _object(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"{what} is not JSON") from error
    if not isinstance(value, dict):
        raise Refused(400, f"{what} is not a JSON object")
    return value
