"""What is answered to a request that is not met."""

from ..errors import CaseError


class Refused(CaseError):
    """A request is not met; the message is the reason, in one line.

    Attributes:
        status: of HTTP. The client takes 410 for a lease that ended, and 503 for a server that has no room.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
