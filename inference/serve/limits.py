"""How much, and how long, anyone who asks may make the server work or wait."""

from dataclasses import dataclass

from ..memory_limit import MB


@dataclass(frozen=True)
class Limits:
    """Figures of a server.

    Attributes:
        sessions: at once.
        idle_seconds: after which a session ends whose user does nothing.
        liveness_seconds: after which a session ends whose client is silent, and sends not even a heartbeat.
        connections: at once, to the whole server.
        idle_connection_seconds: until a connection is closed on which nothing is asked; longer than clients keep theirs
            (5 s), since one that is closed while a client sends on it is an error there.
        request_seconds: until the head of a request is there.
        silence_seconds: between two parts of a body, at most.
        body_seconds: until all of a body is there.
        drain_seconds: of the rest of a body that is refused; a client that is still sending hears no answer.
        json_bytes: of a body that is JSON.
        side: of an image, voxels.
        turn_seconds: until the models are free for a request.
        segment_seconds: of the segmentation of one box. With the wait below the 60 s that the client waits.
    """

    sessions: int = 4
    idle_seconds: float = 600
    liveness_seconds: float = 60
    connections: int = 64
    idle_connection_seconds: int = 60
    request_seconds: float = 10
    silence_seconds: float = 20
    body_seconds: float = 600
    drain_seconds: float = 5
    json_bytes: int = MB // 16
    side: int = 2**15
    turn_seconds: float = 25
    segment_seconds: float = 30
