"""Stopping a run by a signal: at once, but not before temporary files are gone and threads have ended."""

import logging
import signal
import sys
import time
from collections.abc import Callable

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # as `kill`, `docker stop` and Ctrl-C send them; PID 1 would ignore them
# On the way out no second signal is heeded: it must not disturb what is taken away there. After this time it is; then
# the way out must be stuck.
GRACE_SECONDS = 5.0

log = logging.getLogger("qmedsam")


def stop_on_signals() -> Callable[[], int]:
    """From now on a signal ends the main thread by `SystemExit`, with 128 and its number for a status.

    Returns:
        What says this status, and 0 where no signal came: a library that is stopped while it is loaded may make an
        `ImportError` of `SystemExit`.
    """
    stopped_at, status = -GRACE_SECONDS, 0

    def stop(number: int, _: object) -> None:
        nonlocal stopped_at, status
        if time.monotonic() - stopped_at < GRACE_SECONDS:
            return
        stopped_at, status = time.monotonic(), 128 + number
        log.error("stopped by %s", signal.Signals(number).name)
        sys.exit(status)

    for number in SIGNALS:
        signal.signal(number, stop)
    return lambda: status


def leave_signals_to_the_main_thread() -> None:
    """Block them in the calling thread, and in threads that it starts.

    OpenVINO gives the thread that starts its CPU plug-in a small stack for signals. Two signals at once do not fit on
    it where the CPU has AMX, whose registers are saved there: the process would crash.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
