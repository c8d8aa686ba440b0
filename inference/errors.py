"""What can go wrong, the one policy for it, and the exit status each kind of failure ends in."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_OK = 0
EXIT_CASE_FAILED = 1  # at least one case failed or lost a box; all others were processed
EXIT_USAGE = 2  # argparse's own status for a wrong command line
EXIT_SETUP = 3  # weights, folders or libraries cannot be used, or there is no case; nothing was processed

log = logging.getLogger("qmedsam")


class CaseError(Exception):
    """One case cannot be segmented. The message is the reason in one line, without the file name."""


class FormatError(CaseError):
    """The format of the result cannot hold it: what lies at its place is no earlier result of this case."""


class SetupError(Exception):
    """The run cannot start: weights, input or output are missing or unusable."""


def does_not_fit(what: str, needed: int, allowed: int) -> CaseError:
    """The error for what would take `needed` bytes where `allowed` are left."""
    return CaseError(f"{what} needs {-(-needed >> 20)} MB of memory, the limit allows {allowed >> 20} MB")


@contextmanager
def only_case_errors() -> Iterator[None]:
    """Whatever goes wrong with a case within becomes a `CaseError`, so that it costs no other case.

    `SetupError` passes, since the next case would meet it too; so does what ends the process, which is no `Exception`.
    """
    try:
        yield
    except (CaseError, SetupError):
        raise
    except MemoryError as error:
        raise CaseError("does not fit in memory") from error
    except OSError as error:  # who reads says "cannot be read" itself
        raise CaseError(f"cannot be written ({error.strerror or error})") from error
    except Exception as error:  # not foreseen: a fault of ours
        log.debug("traceback", exc_info=True)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CaseError(f"failed for a reason not foreseen ({reason})") from error
