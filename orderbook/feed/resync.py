"""The way back from a book to its feed: books that stay crossed or are oversized are subscribed anew.

The step that keeps a book and the partition of its product may be on different workers, or in different
processes. A sink whose parts are the source's own list is spread over the workers as the source is, so
each of its parts is on the worker of the product's partition.
"""

import time
from collections.abc import Callable

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from orderbook.book import CrossedBook, OversizedBook
from orderbook.feed.source import CoinbaseSource


class ResyncSink(FixedPartitionedSink[CrossedBook | OversizedBook, None]):
    """Has products subscribed anew whose books have been crossed for `crossed_after` seconds.

    Takes each `CrossedBook` of a product; a crossed book is one at each of its messages, heartbeats too,
    so at least once a second. An `OversizedBook` comes once, and its product is subscribed anew at once.
    """

    def __init__(
        self, source: CoinbaseSource, crossed_after: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._crossed_after = crossed_after
        self._clock = clock

    def list_parts(self) -> list[str]:
        """The source's parts, exactly: with one more or less here, all would be on other workers."""
        return self._source.list_parts()

    def part_fn(self, item_key: str) -> int:
        return sorted(self.list_parts()).index(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "ResyncPartition":
        return ResyncPartition(for_part, self._source, self._crossed_after, self._clock)


class ResyncPartition(StatefulSinkPartition[CrossedBook | OversizedBook, None]):
    """The crossings of one product's book, and since when the present one lasts."""

    def __init__(
        self, product_id: str, source: CoinbaseSource, crossed_after: float, clock: Callable[[], float]
    ) -> None:
        self._product_id = product_id
        self._source = source
        self._crossed_after = crossed_after
        self._clock = clock
        self._crossing: int | None = None
        self._since = 0.0

    def write_batch(self, values: list[CrossedBook | OversizedBook]) -> None:
        book, now = values[-1], self._clock()
        if isinstance(book, OversizedBook):
            why = f"its book has grown to {book.bids} bids and {book.asks} asks"
            self._source.resync(self._product_id, now, why)
            return
        if book.crossing != self._crossing:
            self._crossing, self._since = book.crossing, now
        seconds = now - self._since
        if seconds >= self._crossed_after:
            why = f"crossed for {seconds:.1f} s, best bid {book.bid_price}, best ask {book.ask_price}"
            self._source.resync(self._product_id, self._since, why)

    def snapshot(self) -> None:
        """Nothing: a new run starts with new snapshots."""
