"""Backlog of lines: what waits, in order, and what is dropped and logged, by a clock that is set."""

import select

import pytest

from orderbook.output.backlog import LOG_INTERVAL, Backlog
from tests.support.clock import Clock
from tests.support.recordings import logged


def drained(backlog: Backlog) -> bytes:
    """All that waits, taken as a reader that has caught up takes it."""
    taken = b""
    while backlog:
        taken += backlog.pop()[1]
    backlog.caught_up()
    return taken


def pause_for_2_s(backlog: Backlog, clock: Clock) -> None:
    """10 lines come while the reader pauses."""
    backlog.append(b"a\n" * 10)
    clock.now += 2
    drained(backlog)


def test_order_and_size() -> None:
    """Lines come out in order, as many at once as an atomic write takes; what is put back comes first."""
    backlog = Backlog(5, Clock())
    assert not backlog
    lines = [b"%d %s\n" % (n, b"x" * 100) for n in range(100)]
    for line in lines:
        backlog.append(line)
    arrived, first = backlog.pop()
    assert select.PIPE_BUF - len(lines[0]) <= len(first) <= select.PIPE_BUF
    backlog.put_back(arrived, first)
    assert drained(backlog) == b"".join(lines)
    assert backlog.dropped == 0


def test_stale_lines_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """What waited longer than `stale_after` is dropped as others come, counted, and logged at either end."""
    clock = Clock(100)
    backlog = Backlog(5, clock)
    for now in range(100, 160):
        clock.now = now
        backlog.append(b"a %d\nb %d\n" % (now, now))
    assert backlog.dropped == 54 * 2
    clock.now = 160.25
    assert drained(backlog) == b"".join(b"a %d\nb %d\n" % (now, now) for now in range(156, 160))
    assert backlog.dropped == 56 * 2
    assert logged(caplog) == [
        ("WARNING", "stdout is not read: lines that have waited for 5 s are dropped"),
        (
            "WARNING",
            "stdout was not read for 60.2 s: 112 lines were dropped that had waited for 5 s; "
            "lines are of the present again",
        ),
    ]


def test_lines_that_came_in_time_are_logged_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """A reader that pauses for a moment costs no line, and none of the log."""
    clock = Clock()
    backlog = Backlog(5, clock)
    for _ in range(10):
        backlog.append(b"a\n")
        clock.now += 5
        assert drained(backlog) == b"a\n"
    assert (backlog.dropped, caplog.records) == (0, [])


def test_reader_that_keeps_pausing(caplog: pytest.LogCaptureFixture) -> None:
    """What drops again and again is counted on for a while, and no dropped line is left out of the log."""
    clock = Clock()
    backlog = Backlog(1, clock)
    for pause in range(4):
        pause_for_2_s(backlog, clock)
        if pause == 2:
            clock.now += LOG_INTERVAL
    begin, end, second_end = [message for _, message in logged(caplog)]
    assert "is not read" in begin
    assert "for 2.0 s: 10 lines" in end
    assert f"for {LOG_INTERVAL + 6:.1f} s: 30 lines" in second_end


def test_giving_up(caplog: pytest.LogCaptureFixture) -> None:
    """At the end of a run all that waits is dropped, and the log has what was dropped before and now."""
    clock = Clock()
    backlog = Backlog(5, clock)
    backlog.append(b"a\n" * 3)
    clock.now = 6
    backlog.append(b"a\n" * 2_000)
    backlog.give_up()
    assert (bool(backlog), backlog.dropped) == (False, 2_003)
    _begin, dropped, given_up = [message for _, message in logged(caplog)]
    assert ": 3 lines were dropped" in dropped
    assert ": 2,000 lines that wait for it are given up" in given_up
    backlog.give_up()
    assert len(caplog.records) == 3


def test_drops_of_a_short_while_are_logged_later(caplog: pytest.LogCaptureFixture) -> None:
    """What was dropped a moment after the last line of the log is logged in a while, with its own time."""
    clock = Clock()
    backlog = Backlog(1, clock)
    for _pause in range(2):
        pause_for_2_s(backlog, clock)
    clock.now += LOG_INTERVAL
    backlog.log_drops()
    backlog.log_drops()
    _begin, _end, second_end = caplog.messages
    assert "for 2.0 s: 10 lines" in second_end
