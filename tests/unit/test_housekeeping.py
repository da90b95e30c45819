"""Housekeeping of a live run: the clock of the machine."""

from orderbook.housekeeping import MachineClock
from tests.support.clock import Clock


def test_clock_that_is_set_back() -> None:
    """That a clock was set back is told once, with the seconds; that it is corrected, or set on, is not."""
    clock, monotonic = Clock(1_000_000.0), Clock(50.0)
    machine = MachineClock(clock, monotonic)
    told = []
    for passed, change in [
        (1.0, 0.0),
        (1.0, -0.5),
        (1.0, -3_600.0),
        (1.0, 0.0),
        (60.0, 7_200.0),
        (1.0, -2.0),
    ]:
        monotonic.now += passed
        clock.now += passed + change
        told.append(machine.set_back_by())
    assert told == [0.0, 0.0, 3_600.0, 0.0, 0.0, 2.0]
