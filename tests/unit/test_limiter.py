"""Rate limit, and delays between attempts."""

import time
from itertools import islice
from random import Random
from threading import Thread

import pytest

from orderbook.feed.limiter import Limiter
from orderbook.feed.websocket import reconnect_delays
from tests.support.clock import Clock


def most_spare(times: list[float], rate: float, burst: int) -> float:
    """How many more places there could have been at the last of these times; below 0: too many."""
    last = times[-1]
    return min(burst + rate * (last - time) - count for count, time in enumerate(reversed(times), 1))


def take(limiter: Limiter, clock: Clock) -> float:
    """Wait for a place and take it; returns the time at which it was taken."""
    while wait := limiter.take():
        clock.now += wait
    return clock.now


@pytest.mark.parametrize("seed", range(5))
def test_places_are_given_as_early_as_the_rate_allows(seed: int) -> None:
    """Places are given up to a burst at once, at the rate after it, and never later than that allows."""
    random = Random(seed)
    clock = Clock(1_000.0)
    limiter = Limiter(rate=5, burst=4, clock=clock)
    times: list[float] = []
    for _ in range(300):
        asked = clock.now = clock.now + random.choice([0.0, 0.0, 0.0, 0.05, 0.2, 3.0])
        times.append(take(limiter, clock))
        spare = most_spare(times, rate=5, burst=4)
        assert spare >= -1e-6
        assert times[-1] == asked or spare <= 1e-6


def test_a_pause_lets_off_no_burst() -> None:
    """Of many that waited for a place while the process stood still, no more than a burst get one at once."""
    clock = Clock(1_000.0)
    limiter = Limiter(rate=5, burst=4, clock=clock)
    waits = [limiter.take() for _ in range(50)]
    assert [wait == 0 for wait in waits] == [True] * 4 + [False] * 46
    clock.now += 3_600  # all of them are due
    assert [limiter.take() == 0 for _ in range(46)] == [True] * 4 + [False] * 42


def test_defaults_stay_below_the_limits_of_the_exchange() -> None:
    """As shipped, there are fewer than 8 a second, in bursts of fewer than 20, and not many fewer."""
    clock = Clock(1_000.0)
    limiter = Limiter(clock=clock)
    times = [take(limiter, clock) for _ in range(400)]
    assert all(most_spare(times[:count], rate=8, burst=20) >= 1 for count in range(1, 401))
    assert times[-1] < 1_000 + 400 / 7


class Yielding(float):
    """A time that lets other threads run while it is subtracted."""

    def __rsub__(self, other: float) -> float:
        time.sleep(0)
        return other - float(self)


def test_threads_get_places_of_their_own() -> None:
    """Threads that ask at the same time get a place each, none twice."""
    limiter = Limiter(rate=10, burst=500, clock=lambda: Yielding(1_000.0))
    waits: list[float] = []
    threads = [Thread(target=lambda: waits.extend(limiter.take() for _ in range(200))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([0.0] * 500 + [0.1] * 1_100)


def test_reconnect_delays() -> None:
    """The first delay is at random below a second, the others grow from half a second to five."""
    assert len({next(reconnect_delays()) for _ in range(10)}) > 1
    first, *rest = islice(reconnect_delays(), 15)
    assert 0 <= first <= 1
    assert rest == sorted(rest)
    assert 0.5 <= rest[0] < 1
    assert rest[-1] == 5.0
