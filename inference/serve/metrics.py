"""Figures of a server for those who run it, in Prometheus's format. None of them says anything of an image."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from .leases import Leases
from .room import Room

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts requests, and looks at the rest when it is asked."""

    def __init__(self, leases: Leases, room: Room) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "qmedsam_requests", "Requests that were answered", ["path", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "qmedsam_request_seconds", "From a request's head to its answer", ["path"],
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        for name, text, value in (
            ("qmedsam_sessions", "Sessions that are open", lambda: len(leases)),
            ("qmedsam_memory_limit_bytes", "For arrays, beside the runtime", lambda: room.total),
            ("qmedsam_memory_held_bytes", "Of images, masks and what is under way", lambda: room.held),
            ("qmedsam_memory_kept_bytes", "Of embeddings, which make way", lambda: room.kept_bytes),
        ):
            Gauge(name, text, registry=self._registry).set_function(value)
        ProcessCollector(registry=self._registry)

    def count(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All of them."""
        text: bytes = generate_latest(self._registry)
        return text
