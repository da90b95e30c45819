"""Sink of rows: what files and Kafka have in common."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from orderbook.output.datasets import Rows
from orderbook.shutdown import logged


class RowSink(DynamicSink[Rows]):
    """Takes rows, and counts by dataset what became of them."""

    @property
    @abstractmethod
    def rows(self) -> Counter[str]:
        """Rows that were written or delivered."""

    @property
    @abstractmethod
    def dropped(self) -> Counter[str]:
        """Rows that were not, and won't be."""


class RowPartition(StatelessSinkPartition[Rows]):
    """A worker's way to the output that all workers of a process share.

    `put` hands rows over, in order; `end` is called when the run is over for this worker.
    """

    def __init__(self, put: Callable[[list[Rows]], None], end: Callable[[], None]) -> None:
        self._put = put
        self._end = end

    @logged
    def write_batch(self, items: list[Rows]) -> None:
        """Hand rows over."""
        self._put(items)

    @logged
    def close(self) -> None:
        """The run is over for this worker."""
        self._end()
