"""Sink of rows: what files and Kafka have in common."""

from abc import abstractmethod
from collections import Counter

from bytewax.outputs import DynamicSink

from orderbook.output.datasets import Rows


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
