"""Housekeeping of a live run: its summaries in the log, its free memory, the clock of the machine."""

import ctypes
import logging
import time
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger(__name__)

TOLERANCE = 1.0  # seconds; a clock that is corrected by less is not worth a word


class MachineClock:
    """The wall clock, compared with the monotonic one, which nobody sets."""

    def __init__(
        self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._ahead = self._measure()

    def _measure(self) -> float:
        return self._clock() - self._monotonic()

    def set_back_by(self) -> float:
        """Seconds by which it was set back since the last call; 0 if it wasn't."""
        before, self._ahead = self._ahead, self._measure()
        seconds = before - self._ahead
        return seconds if seconds > TOLERANCE else 0.0


def keep_house(summary: Callable[[], str]) -> None:
    """Each minute log a summary and give memory back that is free; watch the clock. Never returns."""
    libc, clock = ctypes.CDLL(None), MachineClock()
    while True:
        for _second in range(60):
            time.sleep(1)
            if seconds := clock.set_back_by():
                log.error("the clock was set back by %.0f s: the engine stands still for as long", seconds)
        log.info(summary())
        # glibc keeps what is freed in the middle of its heap: 5 MB more after 1,000 connections over TLS.
        with suppress(AttributeError):  # another libc
            libc.malloc_trim(0)
