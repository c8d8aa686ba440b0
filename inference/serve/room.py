"""The memory of the server's arrays: what must be there is reserved, and what only saves time is kept in the rest."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from ..memory_limit import MB
from ..model.pair import Embeddings
from .refused import Refused

Key = tuple[Hashable, ...]  # the first part says whose it is


class Room:
    """A number of bytes. All methods may be called from any thread."""

    def __init__(self, total: int) -> None:
        """So many bytes of memory, beside what the runtime takes itself."""
        self.total = total
        self._held = 0
        self._kept: OrderedDict[Key, Embeddings] = OrderedDict()  # the last used at the end
        self._kept_bytes = 0
        self._owners: set[Hashable] = set()
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes that are reserved."""
        return self._held

    @property
    def kept_bytes(self) -> int:
        """Bytes of what is kept."""
        return self._kept_bytes

    @property
    def left(self) -> int:
        """Bytes that can be reserved; what is kept makes way for them."""
        return self.total - self._held

    def hold(self, what: str, size: int) -> None:
        """Reserve bytes until `release`.

        Args:
            what: they are for, to be named where there are too few.

        Raises:
            Refused: there are too few.
        """
        with self._lock:
            if size > self.left:
                raise Refused(413, f"{what} needs {-(-size // MB)} MB of memory, {self.left // MB} MB are left")
            self._held += size
            while self._held + self._kept_bytes > self.total:
                self._drop(next(iter(self._kept)))

    def release(self, size: int) -> None:
        """Give bytes back that were held."""
        with self._lock:
            self._held -= size

    @contextmanager
    def reserved(self, what: str, size: int) -> Iterator[None]:
        """Hold bytes for a while."""
        self.hold(what, size)
        try:
            yield
        finally:
            self.release(size)

    def admit(self, owner: Hashable) -> None:
        """From now on something may be kept of an owner."""
        with self._lock:
            self._owners.add(owner)

    def forget(self, owner: Hashable) -> None:
        """Keep nothing of an owner any more."""
        with self._lock:
            self._owners.discard(owner)
            for key in [key for key in self._kept if key[0] == owner]:
                self._drop(key)

    def keep(self, key: Key, embeddings: Embeddings) -> None:
        """Keep embeddings, in the place of such as were not used for longest, if they find room at all."""
        size = sum(part.nbytes for part in embeddings)
        with self._lock:
            if size > self.left or key in self._kept or key[0] not in self._owners:
                return
            while self._held + self._kept_bytes + size > self.total:
                self._drop(next(iter(self._kept)))
            self._kept[key] = embeddings
            self._kept_bytes += size

    def kept(self, key: Key) -> Embeddings | None:
        """What is kept under a key, which counts as a use of it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def has_room_for_more(self) -> bool:
        """Whether another one as large as the last would find room without another's leaving."""
        with self._lock:
            last = next(reversed(self._kept.values()), [])
            return self._held + self._kept_bytes + sum(part.nbytes for part in last) <= self.total

    def _drop(self, key: Key) -> None:
        self._kept_bytes -= sum(part.nbytes for part in self._kept.pop(key))
