"""Rate limit, and delays between attempts."""

import time
from itertools import islice
from random import Random
from threading import Thread

import pytest

from orderbook.feed.client import reconnect_delays
from orderbook.feed.limiter import Limiter


def most_spare(times: list[float], rate: float, burst: int) -> float:
    """How many more places there could have been at the last of these times; below 0: too many."""
    last = times[-1]
    return min(burst + rate * (last - time) - count for count, time in enumerate(reversed(times), 1))


@pytest.mark.parametrize("seed", range(5))
def test_places_are_given_as_early_as_the_rate_allows(seed: int) -> None:
    """Places are given up to a burst at once, at the rate after it, and never later than that allows."""
    random = Random(seed)
    now = 1_000.0
    limiter = Limiter(rate=5, burst=4, clock=lambda: now)
    times: list[float] = []
    for _ in range(300):
        now += random.choice([0.0, 0.0, 0.0, 0.05, 0.2, 3.0])
        times.append(now + limiter.reserve())
        spare = most_spare(times, rate=5, burst=4)
        assert spare >= -1e-6
        assert times[-1] == now or spare <= 1e-6
    assert times == sorted(times)


def test_defaults_stay_below_the_limits_of_the_exchange() -> None:
    """As shipped, there are fewer than 8 a second, in bursts of fewer than 20, and not many fewer."""
    limiter = Limiter(clock=lambda: 1_000.0)
    times = [limiter.reserve() for _ in range(400)]
    assert all(most_spare(times[:count], rate=8, burst=20) >= 1 for count in range(1, 401))
    assert times[-1] < 400 / 7


class Yielding(float):
    """A time that lets other threads run while it is subtracted."""

    def __rsub__(self, other: float) -> float:
        time.sleep(0)
        return other - float(self)


def test_threads_get_places_of_their_own() -> None:
    """Threads that reserve at the same time get a place each, none twice."""
    limiter = Limiter(rate=10, burst=5, clock=lambda: Yielding(1_000.0))
    waits: list[float] = []
    threads = [Thread(target=lambda: waits.extend(limiter.reserve() for _ in range(200))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([0.0] * 5 + [i / 10 for i in range(1, 1_596)])


def test_reconnect_delays() -> None:
    """The first delay is at random below a second, the others grow from half a second to five."""
    assert len({next(reconnect_delays()) for _ in range(10)}) > 1
    first, *rest = islice(reconnect_delays(), 15)
    assert 0 <= first <= 1
    assert rest == sorted(rest)
    assert 0.5 <= rest[0] < 1
    assert rest[-1] == 5.0
