"""Clock of the machine: whether somebody sets it back while a run goes on."""

import time
from collections.abc import Callable

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
