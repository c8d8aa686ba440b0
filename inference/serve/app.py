"""What each address of nnInteractive's protocol does; `_protocol.py` of its package nninteractive-client lists them."""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .. import __version__
from ..arrays import Array
from ..errors import CaseError, SetupError
from ..options import Window
from . import wire
from .access import Access
from .bodies import META, drained, length_of, read, read_json, read_meta, truth
from .engine import Engine
from .image import check_shape, conversion_bytes, image_bytes, make_image
from .leases import Leases
from .limits import Limits
from .metrics import CONTENT_TYPE, Metrics
from .prompts import NO_POINTS, box_region, drawing_region
from .refused import Refused
from .region import Region, intervals
from .session import Change, Session

log = logging.getLogger("qmedsam")

LEASE = "X-Lease-Token"
OCTETS = "application/octet-stream"
SWEEP_SECONDS = 5  # between looks for sessions whose time is up
TRY_AGAIN_SECONDS = 10
LICENCE = "as of the weights; of those that ship: research only"
BRUSH = 3  # voxels, of scribbles

Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """The application: who asks for what, and what is done of it."""

    def __init__(
        self, engine: Engine, limits: Limits, window: Window | None, token: str | None, leases: Leases | None = None
    ) -> None:
        """
        Args:
            window: what becomes 0..255 of images, as for `make_image`.
            token: that every request must have; None where the server is for this machine alone.
            leases: with a clock of their own, for tests.
        """
        self._engine, self._limits, self._window = engine, limits, window
        self._leases = Leases(engine, limits) if leases is None else leases
        self._metrics = Metrics(self._leases, engine.room)
        self._making: set[asyncio.Task[None]] = set()  # asyncio itself does not keep them
        get: dict[str, Handler] = {
            "/healthz": self._healthz,
            "/metrics": self._show_metrics,
            "/capabilities": self._capabilities,
            "/lease_status": self._lease_status,
        }
        post: dict[str, Handler] = {
            "/claim": self._claim,
            "/release": self._release,
            "/heartbeat": self._heartbeat,
            "/set_image": self._set_image,
            "/set_target_buffer": self._set_target_buffer,
            "/set_do_autozoom": self._set_do_autozoom,
            "/reset_interactions": self._reset_interactions,
            "/undo": self._undo,
            "/predict": self._predict,
            "/add_bbox_interaction": self._add_bbox,
            "/add_point_interaction": self._add_point,
            "/add_scribble_interaction": self._add_drawing,
            "/add_lasso_interaction": self._add_drawing,
            "/add_initial_seg_interaction": self._add_initial_seg,
        }
        routes = [Route(path, self._answering(path, handler), methods=["GET"]) for path, handler in get.items()]
        routes += [Route(path, self._answering(path, handler), methods=["POST"]) for path, handler in post.items()]
        self.app = Starlette(routes=routes, middleware=[Middleware(Access, token=token)], lifespan=self._while_it_runs)

    @asynccontextmanager
    async def _while_it_runs(self, _: Starlette) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                await self._leases.release_ended()

        task = asyncio.create_task(sweep())
        yield
        task.cancel()

    def _answering(self, path: str, handler: Handler) -> Handler:
        """A handler of which whatever goes wrong is answered, and which is counted."""

        async def endpoint(request: Request) -> Response:
            began = time.perf_counter()
            response = await self._tried(handler, request)
            self._metrics.count(path, response.status_code, time.perf_counter() - began)
            return response

        return endpoint

    async def _tried(self, handler: Handler, request: Request) -> Response:
        try:
            return await handler(request)
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        except Exception as error:
            refused = _refusal(request.url.path, error)
            headers = {"Retry-After": str(TRY_AGAIN_SECONDS)} if refused.status == 503 else {}
            if refused.status == 408 or not await drained(request, self._limits.drain_seconds):
                headers["Connection"] = "close"
            return JSONResponse({"detail": str(refused)}, refused.status, headers)

    # Of the server

    async def _healthz(self, _: Request) -> Response:
        return JSONResponse({"ok": True})

    async def _show_metrics(self, _: Request) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def _capabilities(self, _: Request) -> Response:
        """What a model can that is prompted by boxes; points it cannot."""
        supported = {"bbox2d": True, "bbox3d": True, "lasso": True, "scribble": True, "points": False}
        return JSONResponse(
            {
                "supported_interactions": supported,
                "supports_initial_label": True,
                "supports_zero_shot_label_refinement": False,
                "supports_undo": True,
                "do_autozoom": self._engine.can_follow,
                "preferred_scribble_thickness": [BRUSH] * 3,
                "channel_mapping": {},  # of nnInteractive's network
                "num_interaction_channels": 0,
                "interaction_decay": None,
                "inference_session_version": __version__,
                "license": LICENCE,
            }
        )

    # Of leases

    async def _claim(self, _: Request) -> Response:
        await self._leases.release_ended()
        limits = self._limits
        return JSONResponse(
            {
                "lease_token": self._leases.claim(),
                "idle_timeout_seconds": limits.idle_seconds,
                "liveness_timeout_seconds": limits.liveness_seconds,
                "max_sessions": limits.sessions,
            }
        )

    async def _release(self, request: Request) -> Response:
        await self._leases.release(_token(request))
        return JSONResponse({"released": True})

    async def _heartbeat(self, request: Request) -> Response:
        return JSONResponse({"remaining_seconds": self._leases.hear(_token(request))})

    async def _lease_status(self, request: Request) -> Response:
        left = self._leases.seconds_left(_token(request))
        return JSONResponse({"remaining_seconds": left, "idle_timeout_seconds": self._limits.idle_seconds})

    # Of a session

    async def _set_image(self, request: Request) -> Response:
        """Answers once an image has come and all but its values was checked; its session unpacks it then. The session's
        next request waits for that, and is refused where the image turns out to be none."""
        room = self._engine.room
        async with AsyncExitStack() as until_ready:
            session = await until_ready.enter_async_context(self._leases.use(_token(request)))
            session.drop_image()  # it must not be segmented in place of one that is refused
            properties = read_meta(request).get("image_properties")
            packed = await until_ready.enter_async_context(self._array(request))
            check_shape(packed.shape)
            held = image_bytes(packed.size)
            room.hold("the image", held)
            unless_ready = until_ready.enter_context(ExitStack())
            unless_ready.callback(room.release, held)
            until_ready.enter_context(room.reserved("making 0..255 of the image", conversion_bytes(packed)))
            ready = self._make_ready(session, packed, properties, until_ready.pop_all(), unless_ready)
            self._making.add(task := asyncio.create_task(ready))
            task.add_done_callback(self._making.discard)
        return JSONResponse({"original_image_shape": packed.shape})

    async def _make_ready(
        self, session: Session, packed: wire.Packed, properties: Any, until_ready: AsyncExitStack, unless: ExitStack
    ) -> None:
        """Start a session with an image that has come; leave one context then, the other one only if it cannot be."""
        async with until_ready:
            try:
                image = await run_in_threadpool(lambda: make_image(wire.unpack(packed), properties, self._window))
            except Exception as error:
                session.refuse_image(_refusal("/set_image", error))
            else:
                session.start(image)
                unless.pop_all()

    async def _set_target_buffer(self, request: Request) -> Response:
        async with self._leases.use(_token(request)) as session:
            shape, expected = (await read_json(request, self._limits)).get("shape"), session.work.image.shape
            if shape != list(expected):
                raise Refused(400, f"the target buffer does not have the image's shape, {expected}")
            session.clear()  # a buffer is new, and empty
            return JSONResponse({})

    async def _set_do_autozoom(self, request: Request) -> Response:
        async with self._leases.use(_token(request)) as session:
            session.through = truth(await read_json(request, self._limits), "do_autozoom")
            return JSONResponse({})

    async def _reset_interactions(self, request: Request) -> Response:
        async with self._leases.use(_token(request)) as session:
            session.clear()
            return JSONResponse({})

    async def _undo(self, request: Request) -> Response:
        async with self._leases.use(_token(request)) as session:
            return _answer(await session.undo())

    async def _predict(self, request: Request) -> Response:
        async with self._leases.use(_token(request)) as session:
            return _answer(await session.predict())

    async def _add_bbox(self, request: Request) -> Response:
        async with self._leases.use(_token(request)) as session:
            asked = await read_json(request, self._limits)
            box = box_region(asked.get("bbox_coords"), session.work.image.shape)
            return await self._draw(session, box, asked)

    async def _add_drawing(self, request: Request) -> Response:
        async with self._leases.use(_token(request)) as session:
            asked, shape = read_meta(request), session.work.image.shape
            async with self._values(request) as mask:
                box = await run_in_threadpool(drawing_region, mask, asked.get("interaction_bbox"), shape)
            return await self._draw(session, box, asked)

    async def _add_point(self, request: Request) -> Response:
        async with self._leases.use(_token(request)):
            raise Refused(400, NO_POINTS)

    async def _add_initial_seg(self, request: Request) -> Response:
        async with self._leases.use(_token(request)) as session:
            async with self._values(request) as mask:
                await session.start_from(mask)
            return _answer(Change(False))

    async def _draw(self, session: Session, box: Region, asked: dict[str, Any]) -> Response:
        include, run = truth(asked, "include_interaction"), truth(asked, "run_prediction", True)
        return _answer(await session.draw(box, include, run))

    @asynccontextmanager
    async def _array(self, request: Request) -> AsyncIterator[wire.Packed]:
        """The array in the body of a request."""
        length = length_of(request)
        with self._engine.room.reserved("the upload", length):
            yield wire.parse(await read(request, length, self._limits), self._limits.side)

    @asynccontextmanager
    async def _values(self, request: Request) -> AsyncIterator[Array]:
        """The same, unpacked: a mask."""
        async with self._array(request) as packed:
            # Beside the values: which are not 0, and where these differ from what was there.
            with self._engine.room.reserved("the mask", packed.nbytes + 2 * packed.size):
                yield await run_in_threadpool(wire.unpack, packed)


def _refusal(path: str, error: Exception) -> Refused:
    """What is answered where something went wrong."""
    match error:
        case Refused():
            return error
        case CaseError():
            return Refused(400, str(error))
        case MemoryError():
            return Refused(413, "does not fit in memory")
        case SetupError():
            log.error("%s", error)
            return Refused(500, str(error))
    # Not foreseen: a fault of ours; its message might tell of the image.
    (place,) = traceback.extract_tb(error.__traceback__, limit=-1)
    where = f"{Path(place.filename).name}, line {place.lineno}"
    log.error("%s failed for a reason not foreseen (%s in %s)", path, type(error).__name__, where)
    return Refused(500, f"failed for a reason not foreseen ({type(error).__name__})")


def _answer(change: Change) -> Response:
    """What the mask is where it changed."""
    meta = {"ran_prediction": change.ran, "bbox": change.region and intervals(change.region)}
    return Response(change.values, media_type=OCTETS, headers={META: json.dumps(meta)})


def _token(request: Request) -> str:
    """Of the session."""
    token: str = request.headers.get(LEASE, "")
    return token
