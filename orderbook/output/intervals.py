"""Intervals: rows that come at the end of each, of the book as it was then."""

import operator
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple
from zlib import crc32

from orderbook import signals
from orderbook.book import REPEATED, Depth, OrderBookState, OrderBookSummary, Summary
from orderbook.coinbase.messages import Message, Snapshot, Status, arrival
from orderbook.output.datasets import AMOUNTS, DEPTHS, IMBALANCES, Dataset, Rows, Value

# Nanoseconds; a message that is farther behind is of a clock that was set back.
SET_BACK = int(REPEATED * 1e9)
SECOND = 10**9

REACH = max(DEPTHS) / 10_000  # of the mid, to which the levels are looked at of which signals are made


class EachInterval:
    """Makes at most one row an interval, of the book before the first message behind its end."""

    _ends: int | None = None  # the interval that is under way, in nanoseconds since 1970

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def due(self, message: Message, book: OrderBookState | None) -> Sequence[Rows]:
        """The rows that are due before the message; `book` is as it was before it, None before the first."""
        raise NotImplementedError

    def rows(self, message: Message, book: OrderBookState, summary: Summary) -> Sequence[Rows]:
        return ()

    def _end(self, message: Message, book: OrderBookState | None) -> OrderBookSummary | None:
        """The book's summary where the message is behind the interval's end, and there is to be a row."""
        at, ends, interval = arrival(message), self._ends, self._dataset.interval
        if at is None or (ends is not None and ends - interval - SET_BACK <= at < ends):
            return None
        self._ends = (at // interval + 1) * interval
        if ends is None or book is None or book.repeats:
            return None
        summary = book.summarize()
        return summary if type(summary) is OrderBookSummary else None


class _Held(NamedTuple):
    """A row to be made, and from when on."""

    due: int
    summary: OrderBookSummary
    depth: Callable[[], Depth]


class BookSnapshots(EachInterval):
    """A row each interval in which the best levels have changed.

    The intervals of all products end at once, and to make 400 rows then would hold up the dataflow for 15 ms.
    So the levels are only held there; the row follows within half a second, each product in its turn.
    """

    _last: tuple[Value, ...] = ()
    _held: _Held | None = None

    def rows(self, message: Message, book: OrderBookState, summary: Summary) -> Sequence[Rows]:
        if not book.is_live:
            self._last = ()
        return ()

    def due(self, message: Message, book: OrderBookState | None) -> Sequence[Rows]:
        ended = self._ends
        summary = self._end(message, book)
        rows = self._release(message) if self._ends != ended or self._is_due(message) else []
        if summary and book and ended is not None:
            due = ended + delay(message.product_id, self._dataset.interval)
            self._held = _Held(due, summary, book.hold(self._dataset.levels))
            rows += self._release(message) if self._is_due(message) else []
        return rows

    def _is_due(self, message: Message) -> bool:
        """Whether a row is held that is due by this message, or before which its book may be over."""
        if (held := self._held) is None:
            return False
        if type(message) is Status or type(message) is Snapshot:
            return True
        at = arrival(message)
        return at is not None and not held.due - self._dataset.interval - SET_BACK <= at < held.due

    def _release(self, message: Message) -> list[Rows]:
        """The row that is held, if the best levels have changed."""
        held, self._held = self._held, None
        if held is None:
            return []
        levels = self._dataset.levels
        bids, asks = (side + [(None, None)] * (levels - len(side)) for side in held.depth())
        values = tuple(chain.from_iterable(map(operator.add, asks, bids)))
        if values == self._last:
            return []
        self._last = values
        summary = held.summary
        return [Rows.of(self._dataset, message.product_id, summary.time, summary.local_timestamp, [values])]


class Signals(EachInterval):
    """A row each interval."""

    _ofi = 0.0
    _top: signals.Top | None = None

    def rows(self, message: Message, book: OrderBookState, summary: Summary) -> Sequence[Rows]:
        now = book.summarize()
        if type(message) is Snapshot or not book.is_live:
            self._top = None
        if type(now) is OrderBookSummary:
            if self._top is not None and not book.repeats:
                self._ofi += signals.order_flow_imbalance(self._top, now.top)
            self._top = now.top
        return ()

    def due(self, message: Message, book: OrderBookState | None) -> Sequence[Rows]:
        before = self._ends
        summary = self._end(message, book)
        if self._ends == before:
            return ()
        ofi, self._ofi = self._ofi, 0.0
        if summary is None or book is None:
            return ()
        values = (*signal_values(book, *book.within(REACH)), ofi)
        return [Rows.of(self._dataset, message.product_id, summary.time, summary.local_timestamp, [values])]


def signal_values(book: OrderBookState, bids: signals.Levels, asks: signals.Levels) -> list[Value]:
    """The values of `signals_T` but `ofi`, of a book that has a summary, and of its levels within `REACH`."""
    mid = signals.mid(bids, asks)
    assert mid is not None
    values: list[Value] = [mid, book.spread(), signals.spread_bps(bids, asks)]
    values.append(signals.weighted_mid(bids, asks))
    top = book.depth(max(IMBALANCES))
    values += [signals.imbalance(*top, levels) for levels in IMBALANCES]
    values += [signals.depth_within(side, mid, bps) for bps in DEPTHS for side in (bids, asks)]
    every: list[list[tuple[float, float]]] = []
    for amount in AMOUNTS:
        for number, side in enumerate((asks, bids)):
            slippage = signals.slippage_bps(side, mid, amount)
            if slippage is None:  # it may take levels that are farther
                every = every or list(reversed(book.depth(sum(book.levels()))))
                slippage = signals.slippage_bps(every[number], mid, amount)
            values.append(slippage)
    return values


def delay(product_id: str, interval: int) -> int:
    """How long after the end of an interval a product's book snapshot is made: half of it, or 0.5 s, at most.

    Products take sixteen turns, by their names, so that a replay does as the live run did.
    """
    return min(interval, SECOND) * (crc32(product_id.encode()) % 16) // 32
