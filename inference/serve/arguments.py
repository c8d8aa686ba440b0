"""What `qmedsam serve` takes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..arguments import add_address, add_runtime_options, positive, program, window
from ..options import WINDOWS
from .limits import Limits

PORT = 1527

DESCRIPTION = """\
Serve 3D Slicer, napari and other viewers that have a client of nnInteractive.

  qmedsam serve                                       # for this machine: http://127.0.0.1:1527
  qmedsam serve --host 0.0.0.0 --token token.txt      # for others, who must know the token

docs/serve.md says how to connect viewers, and what is done about security.
"""
EPILOG = """\
exit status: 2 wrong command line; 3 weights, address, token or libraries unusable; 130 or 143 stopped by SIGINT or
SIGTERM.
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; argparse ends the process with status 2 where it is wrong."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} serve", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_address(parser, PORT)
    parser.add_argument("--token", type=Path, metavar="FILE",
                        help="a file with the token that every request must have, the API key of viewers; other "
                        "addresses than this machine's own need one, and get a new one that is printed if none is "
                        "given")  # fmt: skip
    parser.add_argument("--sessions", type=positive, default=Limits.sessions, metavar="N",
                        help="at once, each with an image (default: %(default)s)")  # fmt: skip
    parser.add_argument("--window", type=window, metavar="LEVEL,WIDTH",
                        help=f"intensities that are told apart: two numbers, or {', '.join(WINDOWS)} (default: 40,400 "
                        "for what looks like CT; bytes as they are; all else between the 0.5 and 99.5 "
                        "percentile)")  # fmt: skip
    add_runtime_options(parser)
    return parser.parse_args(arguments)
