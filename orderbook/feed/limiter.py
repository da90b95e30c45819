"""Rate limit for connects and requests."""

import threading
import time
from collections.abc import Callable


class Limiter:
    """Spaces what a process sends, whatever the thread.

    The exchange takes 8 connects a second from an address, in bursts of up to 20; the defaults stay
    below, since what leaves here evenly may arrive less so.
    """

    def __init__(
        self, rate: float = 7.5, burst: int = 16, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / rate
        self._burst = (burst - 1) * self._interval
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock()  # when the next place is due at an even pace; a burst runs ahead of it

    def reserve(self) -> float:
        """Take the next place; returns the seconds to wait for it."""
        with self._lock:
            now = self._clock()
            self._next = max(self._next, now)
            wait = max(0.0, self._next - self._burst - now)
            self._next += self._interval
        return wait
