"""How a book that stays crossed is made anew: the way back from the books to the feed.

The step that keeps a book and the partition that hears its product may be on different workers, or
in different processes. A sink whose parts are the source's own list is spread over the workers as the
source is, so each of its parts lives beside the product's partition, and can speak to it.
"""

import logging
import time
from collections.abc import Callable

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from orderbook.book import CrossedBook
from orderbook.source import CoinbaseSource

log = logging.getLogger(__name__)

EVERY = 30.0  # seconds between two resyncs of a product: in an auction a book is rightly crossed


class ResyncSink(FixedPartitionedSink[CrossedBook, None]):
    """Asks the source for a new connection of each product whose book comes in, not too often."""

    def __init__(
        self, source: CoinbaseSource, every: float = EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._every = every
        self._clock = clock

    def list_parts(self) -> list[str]:
        """The source's parts, exactly: with one more or less here, all would be on other workers."""
        return self._source.list_parts()

    def part_fn(self, item_key: str) -> int:
        return sorted(self.list_parts()).index(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "ResyncPartition":
        return ResyncPartition(for_part, self._source, self._every, self._clock)


class ResyncPartition(StatefulSinkPartition[CrossedBook, None]):
    """One product's resyncs."""

    def __init__(
        self, product_id: str, source: CoinbaseSource, every: float, clock: Callable[[], float]
    ) -> None:
        self._product_id = product_id
        self._source = source
        self._every = every
        self._clock = clock
        self._last: float | None = None

    def write_batch(self, values: list[CrossedBook]) -> None:
        now = self._clock()
        if self._last is None or now - self._last >= self._every:
            self._last = now
            book = values[-1]
            log.warning(
                "%s: crossed for %.1f s, best bid %s, best ask %s: resync",
                self._product_id,
                book.seconds,
                book.bid_price,
                book.ask_price,
            )
            self._source.resync(self._product_id)

    def snapshot(self) -> None:
        """Nothing: a new run starts with new connections."""
