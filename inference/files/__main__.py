"""`python -m inference.files`: the same as `qmedsam segment`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
