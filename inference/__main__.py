"""`python -m inference`, and the installed command `qmedsam`: see `inference.cli`."""

import os
from typing import NoReturn

from .cli import flush_streams, main


def run() -> NoReturn:
    """Run the command line, and end the process with its exit status."""
    kept: list[object] = []
    try:
        status = main(keep=kept.append)
    except SystemExit as end:  # a wrong command line, --help, or a signal
        status = int(end.code or 0)
    flush_streams()
    # All is written: taking OpenVINO, its models and threads apart would only take time, a tenth of a short run.
    os._exit(status)


if __name__ == "__main__":
    run()
