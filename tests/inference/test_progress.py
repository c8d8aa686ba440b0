"""The progress bar: on a terminal only, and never in the way."""

import io
from types import SimpleNamespace

import pytest

from inference import progress
from inference.progress import BAR_WIDTH, CLEAR_LINE, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def last(self) -> str:
        """What is to be seen on the line."""
        return self.getvalue().rpartition(CLEAR_LINE)[2]


def write_to(monkeypatch, stream):
    """Make `stream` the standard error of the bar; pytest would replace that of all between set-up and test."""
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
    return stream


@pytest.fixture
def terminal(monkeypatch):
    return write_to(monkeypatch, Terminal())


@pytest.fixture
def clock(monkeypatch):
    """A list whose last number is the time in seconds."""
    times = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: times[-1])
    return times


def test_moves_by_cases_and_by_fractions_of_one(terminal, clock):
    bar = Progress(4)
    bar.start("a.npz")
    assert terminal.last() == f"[{'-' * BAR_WIDTH}] 0/4 a.npz"
    bar.finish()
    clock.append(101.0)
    bar.start("b.npz")
    assert terminal.last() == f"[{'#' * (BAR_WIDTH // 4)}{'-' * (BAR_WIDTH * 3 // 4)}] 1/4 b.npz"
    clock.append(102.0)
    bar.case_fraction(1.0)
    assert terminal.last() == f"[{'#' * (BAR_WIDTH // 2)}{'-' * (BAR_WIDTH // 2)}] 1/4 b.npz"


def test_is_not_drawn_more_often_than_eyes_can_see_but_shows_the_end(terminal, clock):
    bar = Progress(1)
    bar.start("a.npz")
    drawn = len(terminal.getvalue())
    bar.case_fraction(0.5)
    assert len(terminal.getvalue()) == drawn
    bar.case_fraction(1.0)
    assert terminal.last().startswith(f"[{'#' * BAR_WIDTH}]")


def test_makes_room_for_a_line_and_comes_back_at_once(terminal, clock):
    bar = Progress(2)
    bar.start("a.npz")
    bar.clear()
    assert terminal.last() == ""
    bar.case_fraction(0.5)
    assert terminal.last().endswith("a.npz")


def test_without_a_terminal_there_is_none(monkeypatch):
    file = write_to(monkeypatch, io.StringIO())
    bar = Progress(1)
    bar.start("a.npz")
    bar.clear()
    bar.finish()
    assert file.getvalue() == ""


def test_of_no_cases_is_nothing(terminal):
    Progress(0).start("a.npz")
    assert terminal.getvalue() == ""


def test_a_terminal_that_is_gone_is_left_alone(monkeypatch):
    class Gone(Terminal):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            raise OSError(5, "Input/output error")

    gone = write_to(monkeypatch, Gone())
    bar = Progress(2)
    bar.start("a.npz")
    bar.clear()
    bar.start("b.npz")
    assert gone.writes == 1
