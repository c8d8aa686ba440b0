"""`python -m inference`: see `inference.cli`."""

import os
import sys

from .cli import main

kept: list[object] = []
status = main(keep=kept.append)
sys.stdout.flush()
sys.stderr.flush()
# All is written: taking OpenVINO, its models and threads apart would only take time, a tenth of a short run.
os._exit(status)
