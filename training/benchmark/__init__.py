"""Run times and peak memory of whole processes, side by side; `python -m training.benchmark --help`."""
