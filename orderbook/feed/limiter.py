"""Rate limit for connects and requests."""

import asyncio
import threading
import time
from collections.abc import Callable


class Limiter:
    """Spaces what a process sends, whatever the thread.

    The exchange takes 8 connects a second from an address, in bursts of up to 20; the defaults stay
    below, since what leaves here evenly may arrive less so. A place is taken when it is used: after a
    pause of the process those that waited for theirs are spaced like any others.
    """

    def __init__(
        self, rate: float = 7.5, burst: int = 16, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / rate
        self._burst = (burst - 1) * self._interval
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock()  # when the next place is due at an even pace; a burst runs ahead of it

    def take(self) -> float:
        """Take a place if there is one, and return 0; else the seconds until there may be one."""
        with self._lock:
            now = self._clock()
            self._next = max(self._next, now)
            wait = self._next - self._burst - now
            if wait > 1e-9:  # less is the error of a float
                return wait
            self._next += self._interval
        return 0.0

    async def acquire(self) -> None:
        """Wait for a place, and take it."""
        while wait := self.take():
            await asyncio.sleep(wait)
