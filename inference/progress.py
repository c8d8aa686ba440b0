"""A progress bar on standard error, when that is a terminal; nothing at all when it is not."""

import sys
import time

BAR_WIDTH = 24
REDRAW_SECONDS = 0.1
CLEAR_LINE = "\r\x1b[K"


class Progress:
    """Counts cases; a long case moves the bar by its finished fraction."""

    def __init__(self, total: int) -> None:
        self.total, self.finished, self.name = total, 0, ""
        self._visible = sys.stderr.isatty() and total > 0
        self._drawn = 0.0

    def start(self, name: str) -> None:
        """Show the case that is being worked on."""
        self.name = name
        self.case_fraction(0.0)

    def case_fraction(self, fraction: float) -> None:
        """Move the bar to `fraction`, 0..1, of the present case."""
        now = time.monotonic()
        if not self._visible or (fraction < 1 and now - self._drawn < REDRAW_SECONDS):
            return
        self._drawn = now
        filled = round(BAR_WIDTH * (self.finished + fraction) / self.total)
        bar = "#" * filled + "-" * (BAR_WIDTH - filled)
        self._show(f"{CLEAR_LINE}[{bar}] {self.finished}/{self.total} {self.name}")

    def finish(self) -> None:
        """The present case is done, well or badly."""
        self.finished += 1

    def clear(self) -> None:
        """Take the bar away, so that a line can be printed."""
        if self._visible:
            self._show(CLEAR_LINE)
            self._drawn = 0.0

    def _show(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # the terminal is gone, which must not cost the case
            self._visible = False
