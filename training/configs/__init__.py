"""The YAML files of runs, and where they lie."""

from pathlib import Path

CONFIGS = Path(__file__).parent
