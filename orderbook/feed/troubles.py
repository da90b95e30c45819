"""Log of lost connections and failed attempts: each trouble is logged once, then counted."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from orderbook.feed.errors import FeedError, Unreachable
from orderbook.feed.stats import FeedStats

log = logging.getLogger(__name__)

SIGNIFICANT = 60  # characters of a trouble that tell it from others; what follows are values


class Troubles:
    """The log of the connections of a process, whatever the thread.

    A trouble that repeats within `every` seconds is counted, and the count logged once in as many
    seconds for all products together. `hint` follows the first failed connect, unless a product has
    been live.
    """

    def __init__(
        self,
        stats: Mapping[str, FeedStats],
        hint: str = "",
        every: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stats = stats
        self._hint = hint
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._logged: dict[str, float] = {}  # when each trouble was logged or counted last
        self._count = 0
        self._next_count = 0.0

    def report(self, product_ids: Sequence[str], error: FeedError, delay: float) -> None:
        """A connection of these products was lost or could not be made; the next attempt is in `delay` s."""
        with self._lock:
            self._report(product_ids, error, delay)

    def _report(self, product_ids: Sequence[str], error: FeedError, delay: float) -> None:
        names = _names(product_ids)
        if not error.is_trouble:
            log.info("%s: %s", names, error)
            return
        # Where the exchange can't be reached, all products share the cause.
        shared = isinstance(error, Unreachable)
        text = str(error) if shared else f"{names}: {error}"
        # Of the causes of an OSError only the addresses differ, and their order.
        trouble = text.partition("[")[0] if shared else text[: len(names) + SIGNIFICANT]
        now = self._clock()
        recent = {other: when for other, when in self._logged.items() if now < when + self._every}
        self._logged = recent | {trouble: now}
        if not recent:  # the last ones are over
            self._count, self._next_count = 0, now + self._every
        if trouble not in recent:
            log.warning("%s; next attempt in %.1f s", text, delay)
            self._log_hint(error)
            return
        self._count += 1
        if now >= self._next_count:
            live = sum(stats.live for stats in list(self._stats.values()))
            log.warning(
                "%d more connections lost or not made, the last one: %s; %d of %d products are live",
                *(self._count, text, live, len(self._stats)),
            )
            self._count, self._next_count = 0, now + self._every

    def _log_hint(self, error: FeedError) -> None:
        if self._hint and isinstance(error, Unreachable):
            if not any(stats.snapshots for stats in list(self._stats.values())):
                log.warning(self._hint)
            self._hint = ""


def _names(product_ids: Sequence[str]) -> str:
    shown = ", ".join(product_ids[:3])
    return shown if len(product_ids) <= 3 else f"{shown} and {len(product_ids) - 3} more"
