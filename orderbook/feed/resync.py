"""How a book that stays crossed is made anew: the way back from the books to the feed.

The step that keeps a book and the partition that hears its product may be on different workers, or
in different processes. A sink whose parts are the source's own list is spread over the workers as the
source is, so each of its parts lives beside the product's partition, and can speak to it.
"""

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from orderbook.book import CrossedBook
from orderbook.feed.source import CoinbaseSource


class ResyncSink(FixedPartitionedSink[CrossedBook, None]):
    """Asks the source for a new connection of each product whose crossed book comes in."""

    def __init__(self, source: CoinbaseSource) -> None:
        self._source = source

    def list_parts(self) -> list[str]:
        """The source's parts, exactly: with one more or less here, all would be on other workers."""
        return self._source.list_parts()

    def part_fn(self, item_key: str) -> int:
        return sorted(self.list_parts()).index(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "ResyncPartition":
        return ResyncPartition(for_part, self._source)


class ResyncPartition(StatefulSinkPartition[CrossedBook, None]):
    """One product's resyncs."""

    def __init__(self, product_id: str, source: CoinbaseSource) -> None:
        self._product_id = product_id
        self._source = source

    def write_batch(self, values: list[CrossedBook]) -> None:
        self._source.resync(self._product_id, values[-1])

    def snapshot(self) -> None:
        """Nothing: a new run starts with new connections."""
