"""`python -m inference`: see `inference.cli`."""

import os
import sys

from inference.cli import main

status = main()
sys.stdout.flush()
sys.stderr.flush()
# All is written: taking OpenVINO and its threads apart in good order would only take time, a tenth of a short run.
os._exit(status)
