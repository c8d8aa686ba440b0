"""Steps on several threads side by side."""

import threading

import pytest

from inference.segment.lanes import Lanes


def test_chains_run_side_by_side_and_each_in_its_order():
    meeting = threading.Barrier(2, timeout=20)  # passed only by two chains that are under way at the same time
    done = []

    def chain(name):
        for step in range(3):
            meeting.wait()
            done.append((name, step))
            yield True

    fractions = []
    with Lanes(2, 6, fractions.append) as lanes:
        lanes.run([chain("a"), chain("b")])
    for name in "ab":
        assert [step for which, step in done if which == name] == [0, 1, 2]
    assert fractions == [step / 6 for step in range(1, 7)]


def test_more_chains_than_lanes_all_come_to_their_ends():
    done = []

    def chain(name):
        for _ in range(2):
            done.append(name)
            yield True

    with Lanes(1, 8, lambda fraction: None) as lanes:
        lanes.run(map(chain, "abc"))
        lanes.run([chain("d")])
    assert done == list("aabbccdd")


def test_a_fault_stops_the_other_chains_and_is_raised():
    begun, failed = threading.Event(), threading.Event()
    steps = 0

    def endless():
        nonlocal steps
        while True:
            steps += 1
            begun.set()
            yield True
            failed.wait(20)

    def faulty():
        begun.wait(20)
        failed.set()
        yield True
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"), Lanes(2, 1, lambda fraction: None) as lanes:
        lanes.run([faulty(), endless()])
    assert steps > 0  # and leaving the lanes has waited for their end
    assert not any(thread.name.startswith("lane") for thread in threading.enumerate())


def test_a_fault_in_a_later_chain_is_raised_while_earlier_ones_go_on():
    release = threading.Event()

    def faulty():
        yield False
        raise MemoryError("no room")

    def waiting():  # ends only after the fault has been raised
        yield False
        assert release.wait(20)
        yield False

    lanes = Lanes(2, 1, lambda fraction: None)
    try:
        with pytest.raises(MemoryError, match="no room"):
            lanes.run([waiting(), faulty()])
    finally:
        release.set()
        lanes.__exit__(None, None, None)


def test_a_chain_is_left_in_the_middle_of_a_step_and_only_whole_steps_count():
    fractions, closed = [], threading.Event()

    def faulty():
        yield True
        raise KeyboardInterrupt

    def step_without_end():
        try:
            while True:
                yield False
        finally:
            closed.set()

    with pytest.raises(KeyboardInterrupt), Lanes(2, 4, fractions.append) as lanes:
        lanes.run([step_without_end(), faulty()])
    assert closed.wait(20)
    assert fractions == [1 / 4]
