"""Outage of an output: when its log says that rows are not delivered, and that they are again."""

import logging
import math
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

LOG_INTERVAL = 30.0  # seconds at least from the end of an outage to the beginning of the next that is logged
SETTLED = 1.0  # seconds without trouble after which an outage is over, if rows are delivered


class Outage:
    """The outages of one output: each is logged when it begins, with the reason, and when it is over.

    One that begins within `LOG_INTERVAL` seconds of the last is logged once it has lasted beyond them; the
    rows that a shorter one cost are in the next line. Not thread-safe.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._why = ""
        self._since: float | None = None
        self._until: float | None = None  # when rows were delivered again, as far as it is known
        self._logged = False  # whether its beginning was
        self._quiet_until = -math.inf
        self._delivered = 0  # rows so far
        self._delivered_before = 0  # rows, when the last trouble was seen
        self._lost = 0  # rows so far
        self._lost_logged = 0

    def trouble(self, why: str) -> None:
        """Rows can't be delivered now."""
        self._until, self._delivered_before = None, self._delivered
        if self._since is None:
            self._since, self._logged = self._clock(), False
        self._why = why

    def update(self, delivered: int, lost: int, why: str) -> None:
        """So many rows were delivered and lost so far, the latter for this reason."""
        self._delivered = delivered
        if lost > self._lost:
            self._lost = lost
            self.trouble(why)
        if self._since is None:
            return
        now = self._clock()
        if not self._logged and now >= self._quiet_until:
            log.warning("%s: rows are not delivered: %r", self._name, self._why[:300])
            self._logged = True
        if self._until is None and delivered > self._delivered_before:
            self._until = now
        if self._until is not None and now >= self._until + SETTLED:
            if self._logged:
                self._log(f"rows are delivered again after {self._until - self._since:.1f} s")
                self._quiet_until = now + LOG_INTERVAL
            self._since = None

    def close(self, lost: int) -> None:
        """The run ends, with so many rows lost; log those that were not yet."""
        self._lost = lost
        if lost > self._lost_logged:
            self._log("the run ends")

    def _log(self, what: str) -> None:
        lost = self._lost - self._lost_logged
        log.log(logging.WARNING if lost else logging.INFO, f"{self._name}: {what}, {lost:,} rows are lost")
        self._lost_logged = self._lost
