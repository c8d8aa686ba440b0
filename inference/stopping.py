"""Stopping a run by a signal: at once, but not before temporary files are gone and threads have ended."""

import logging
import signal
import sys
import time

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # as `kill`, `docker stop` and Ctrl-C send them; PID 1 would ignore them
# On the way out no second signal is heeded: it must not disturb what is taken away there. After this time it is; then
# the way out must be stuck.
GRACE_SECONDS = 5.0

log = logging.getLogger("qmedsam")


def stop_on_signals() -> None:
    """From now on a signal ends the main thread by `SystemExit`, with 128 and its number for a status."""
    stopped_at = -GRACE_SECONDS

    def stop(number: int, _: object) -> None:
        nonlocal stopped_at
        if time.monotonic() - stopped_at < GRACE_SECONDS:
            return
        stopped_at = time.monotonic()
        log.error("stopped by %s", signal.Signals(number).name)
        sys.exit(128 + number)

    for number in SIGNALS:
        signal.signal(number, stop)


def leave_signals_to_the_main_thread() -> None:
    """Block them in the calling thread, and in threads that it starts.

    OpenVINO gives the thread that starts its CPU plug-in a small stack for signals. Two signals at once do not fit on
    it where the CPU has AMX, whose registers are saved there: the process would crash.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
