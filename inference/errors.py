"""What can go wrong, and the exit status each kind of failure ends in."""

EXIT_OK = 0
EXIT_CASE_FAILED = 1  # at least one case failed; all others were processed
EXIT_USAGE = 2  # argparse's own status for a wrong command line
EXIT_SETUP = 3  # weights, input folder or output folder cannot be used; nothing was processed


class CaseError(Exception):
    """One case cannot be segmented. The message is the reason in one line, without the file name."""


class SetupError(Exception):
    """The run cannot start: weights, input or output are missing or unusable."""


def does_not_fit(what: str, needed: int, allowed: int) -> CaseError:
    """The error for what would take `needed` bytes where `allowed` are left."""
    return CaseError(f"{what} needs {needed >> 20} MB of memory, the limit allows {allowed >> 20} MB")
