"""Trades of a product by their ids: which are missing, and which have come before.

The ids of a product have no holes, and each heartbeat has the last one. So a trade that was lost is known by
the next trade, or by the next heartbeat, once a second.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable

from orderbook.coinbase.messages import Heartbeat, LastTrade, Message, Trade
from orderbook.feed.stats import FeedStats

log = logging.getLogger(__name__)

FARTHEST_BACK = 100_000  # trades; ids that are farther back are those of another exchange, as a sandbox's
LOG_INTERVAL = 30.0  # seconds at least between two lines of the log


class MissingTrades:
    """The log of trades that are missing, of the products of a worker: what repeats is counted on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._missing: Counter[str] = Counter()
        self._quiet_until = clock()

    def add(self, product_id: str, count: int) -> None:
        """So many trades of a product are missing; logged at once, or when the last line is long past."""
        self._missing[product_id] += count
        self.log_rest()

    def log_rest(self) -> None:
        """Log what has been counted on, when it is time."""
        if self._missing and self._clock() >= self._quiet_until:
            shown = ", ".join(f"{count} of {name}" for name, count in self._missing.most_common(3))
            more = f" and those of {len(self._missing) - 3} more products" if len(self._missing) > 3 else ""
            log.warning("trades are missing: %s%s", shown, more)
            self._missing.clear()
            self._quiet_until = self._clock() + LOG_INTERVAL


class TradeIds:
    """The ids of one product's trades, whatever the connection that they come on."""

    def __init__(self, product_id: str, stats: FeedStats, missing: MissingTrades) -> None:
        self._product_id = product_id
        self._stats = stats
        self._missing = missing
        self._last: int | None = None  # that has come
        self._known: int | None = None  # to have been

    def is_new(self, message: Message) -> bool:
        """Whether a message is to be handed on: no trade that came before, as on a connection renewed.

        Counts the trades that are missing by what the message says. Takes 0.1 µs.
        """
        if isinstance(message, Trade):
            number = message.trade_id
            if type(message) is LastTrade and number < (self._last or 0) - FARTHEST_BACK:
                log.warning("%s: the ids of its trades begin anew, at %d", self._product_id, number)
                self._last = self._known = None
            if self._last is not None and number <= self._last:
                return False
            # The last trade before a subscription is no trade of it: where it is not known, it is missing.
            self._expect(number if type(message) is LastTrade else number - 1)
            self._last, self._known = number, max(number, self._known or number)
        elif type(message) is Heartbeat and message.last_trade_id is not None:
            self._expect(message.last_trade_id)
        return True

    def _expect(self, number: int) -> None:
        """All trades up to this one have been."""
        if self._known is not None and number > self._known:
            self._stats.missing_trades += number - self._known
            self._missing.add(self._product_id, number - self._known)
        self._known = max(number, self._known or number)
