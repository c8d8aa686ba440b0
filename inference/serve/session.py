"""What one client has: an image, the mask that is made of it, and what is drawn but not segmented yet."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import NamedTuple

import numpy as np
from starlette.concurrency import run_in_threadpool

from ..arrays import Array
from .engine import Engine
from .image import Image
from .mask import Found, Mask
from .refused import Refused
from .region import Region, hull, size
from .wire import pack

NO_IMAGE = 400, "there is no image yet: call set_image first"
PACKING = 2  # bytes for each voxel of an answer: a copy of it, and the room that packing takes


class Drawn(NamedTuple):
    """A box, and whether what it holds is part of the object or is none."""

    box: Region
    include: bool


class Change(NamedTuple):
    """What came of a request.

    Attributes:
        ran: whether anything was done.
        region: of the mask, which changed by it.
        values: what the mask is there, packed.
    """

    ran: bool
    region: Region | None = None
    values: bytes = b""


@dataclass
class Work:
    """An image that is worked on.

    Attributes:
        drawn: what waits for `Session.predict`.
    """

    image: Image
    mask: Mask
    drawn: list[Drawn] = field(default_factory=list)


class Session:
    """One client's session, on the event loop.

    Attributes:
        lock: who calls a method holds it.
        through: whether a box of one slice is followed through the others; the protocol calls it autozoom.
    """

    def __init__(self, engine: Engine) -> None:
        self.lock = asyncio.Lock()
        self.through = True
        self._engine = engine
        self._work: Work | None = None
        self._why_none = NO_IMAGE

    @property
    def work(self) -> Work:
        """Raises Refused where there is no image, for the reason that the last one was refused for, if one was."""
        if self._work is None:
            raise Refused(*self._why_none)
        return self._work

    def start(self, image: Image) -> None:
        """Begin with an image, for which memory is held."""
        self._work = Work(image, Mask(image.shape))
        self._engine.welcome(image)

    def refuse_image(self, refused: Refused) -> None:
        """Whoever asks for something of the image is told this. The error itself holds on to what was unpacked."""
        self._why_none = refused.status, str(refused)

    def drop_image(self) -> None:
        """Give up the image, all that was made of it, and their memory."""
        self._why_none = NO_IMAGE
        if self._work:
            image, self._work = self._work.image, None
            self._engine.forget(image)
            self._engine.room.release(image.held_bytes)

    def clear(self) -> None:
        """Forget what was drawn, and what came of it."""
        if self._work:
            self._work = Work(self._work.image, Mask(self._work.image.shape))

    async def start_from(self, values: Array) -> None:
        """Go on from a mask (X, Y, Z), not 0 where the object is; what was drawn is forgotten."""
        work = self.work
        if values.shape != work.image.shape:
            raise Refused(400, f"the mask has shape {values.shape}, the image {work.image.shape}")
        work.drawn.clear()
        await run_in_threadpool(lambda: work.mask.replace(values != 0))

    async def draw(self, box: Region, include: bool, run: bool) -> Change:
        """Add a box.

        Args:
            include: whether what it holds is part of the object, or is none.
            run: whether that is found at once, with whatever else was drawn before.

        Raises:
            CaseError: it cannot be; all is as before.
        """
        drawn = Drawn(box, include)
        changed = await self._find([*self.work.drawn, drawn]) if run else Change(False)
        self.work.drawn = [] if run else [*self.work.drawn, drawn]
        return changed

    async def predict(self) -> Change:
        """Find what was drawn and not found yet.

        Raises:
            CaseError: it cannot be; all is as before.
        """
        changed = await self._find(self.work.drawn)
        self.work.drawn = []
        return changed

    async def undo(self) -> Change:
        """Take back what was drawn last, or the mask that the session was started from."""
        if self.work.drawn:
            self.work.drawn.pop()
            return Change(True)
        mask = self.work.mask
        with self._engine.room.reserved("the answer", PACKING * size(mask.last_region)):
            change: Change = await run_in_threadpool(lambda: _change(mask, *mask.undo()))
        return change

    async def _find(self, boxes: Sequence[Drawn]) -> Change:
        engine, (image, mask) = self._engine, (self.work.image, self.work.mask)
        found = [await engine.run(partial(engine.find, image, drawn.box, self.through)) for drawn in boxes]
        # What was found, what it makes of the mask, and where these differ; and the answer: reserved before anything
        # changes, so that client and server keep the same mask.
        sizes = 3 * sum(some.values.nbytes for some in found)
        answer = PACKING * size(reduce(hull, (some.region for some in found), None))
        with engine.room.reserved("the mask", sizes + answer):
            change: Change = await run_in_threadpool(_apply, mask, boxes, found)
        return change


def _apply(mask: Mask, boxes: Sequence[Drawn], found: Sequence[Found]) -> Change:
    """Change a mask by what was found in boxes."""
    changed = None
    for drawn, some in zip(boxes, found, strict=True):
        changed = hull(changed, mask.include(some) if drawn.include else mask.exclude(some))
    return _change(mask, bool(boxes), changed)


def _change(mask: Mask, ran: bool, region: Region | None) -> Change:
    return Change(ran, region, pack(mask.values[region].view(np.uint8)) if region else b"")
