"""Makers of rows: one a product and dataset, which knows what its next row needs of before.

What is no live book with a bid below its ask has no row but in `status`, and, crossed or one-sided, in
`incremental_book_L2`, whose readers keep a book themselves. A trade is no matter of the book: each has its
row. A maker has nothing in it that changes in place, so a shallow copy is one.
"""

from collections.abc import Sequence
from typing import Protocol

from orderbook import signals
from orderbook.book import CrossedBook, OrderBookState, OrderBookSummary, Summary
from orderbook.coinbase.messages import L2Update, Message, Snapshot, Status, Trade, arrival
from orderbook.output.datasets import Dataset, Rows, Value
from orderbook.output.intervals import BookSnapshots, Signals


class Maker(Protocol):
    """Makes the rows of one dataset, of one product."""

    def rows(self, message: Message, book: OrderBookState, summary: Summary) -> Sequence[Rows]:
        """Rows of what the message has changed; the book has taken it."""


class _OnMessage:
    """Makes rows of what a message has changed."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def rows(self, message: Message, book: OrderBookState, summary: Summary) -> Sequence[Rows]:
        raise NotImplementedError

    def _rows(self, message: Message, *values: tuple[Value, ...]) -> Sequence[Rows]:
        if not values:  # an update without changes
            return ()
        return [Rows.of(self._dataset, message.product_id, message.time, message.local_timestamp, values)]


class _Quotes(_OnMessage):
    """A row when the top's price or size changes."""

    _last: signals.Top | None = None

    def rows(self, message: Message, book: OrderBookState, summary: Summary) -> Sequence[Rows]:
        if not book.is_live:
            self._last = None
        if type(summary) is not OrderBookSummary or summary.top == self._last:
            return ()
        self._last = summary.top
        bid, bid_size, ask, ask_size = summary.top
        return self._rows(message, (ask_size, ask, bid, bid_size))


class _Changes(_OnMessage):
    """A row a changed level, and one a level of a snapshot, best first."""

    def rows(self, message: Message, book: OrderBookState, summary: Summary) -> Sequence[Rows]:
        if type(message) is L2Update and book.is_live:
            sides = {"buy": "bid", "sell": "ask"}
            changes = message.changes
            return self._rows(
                message, *((False, sides[change.side], change.price, change.size) for change in changes)
            )
        if type(message) is Snapshot:
            sides_of_book = zip(("bid", "ask"), book.depth(sum(book.levels())), strict=True)
            return self._rows(
                message,
                *((True, side, price, size) for side, levels in sides_of_book for price, size in levels),
            )
        return ()


class _Trades(_OnMessage):
    """A row a trade."""

    def rows(self, message: Message, book: OrderBookState, summary: Summary) -> Sequence[Rows]:
        if type(message) is not Trade:  # nor the last one before a subscription
            return ()
        return self._rows(message, (str(message.trade_id), message.side, message.price, message.size))


class _Statuses(_OnMessage):
    """A row when a product's state changes."""

    _event = ""

    def rows(self, message: Message, book: OrderBookState, summary: Summary) -> Sequence[Rows]:
        if type(message) is Status:
            event, reason = message.event_and_reason
        elif not book.is_live:
            return ()
        elif type(now := book.summarize()) is CrossedBook:
            event, reason = "crossed", f"best bid {now.bid_price}, best ask {now.ask_price}"
        else:
            event, reason = "live", "snapshot" if type(message) is Snapshot else "crossed no more"
        if event == self._event and type(message) is not Status:
            return ()
        self._event = event
        return self._rows(message, (event, reason))


class _WideSpreads(_OnMessage):
    """A row when a stretch of summaries above the threshold ends; all by arrival."""

    _updates = 0  # of the stretch that is under way
    _began: int | None = None  # in microseconds, as soon as a time is known
    _at = 0  # the last time of the stretch
    _bps = _most = _area = _sum = 0.0

    def __init__(self, dataset: Dataset, min_spread: float) -> None:
        super().__init__(dataset)
        self._min_spread = min_spread

    def rows(self, message: Message, book: OrderBookState, summary: Summary) -> Sequence[Rows]:
        wide = type(summary) is OrderBookSummary and summary.is_wider_than(self._min_spread)
        if not wide and (not self._updates or _says_nothing(message, book)):
            return ()
        if (at := arrival(message)) is not None:
            at //= 1_000
            if self._began is None:
                self._began = self._at = at
            self._area += self._bps * max(0, at - self._at)
            self._at = max(at, self._at)
        if wide:
            assert type(summary) is OrderBookSummary
            self._bps = summary.spread / summary.ask_price * 10_000
            self._most, self._sum = max(self._most, self._bps), self._sum + self._bps
            self._updates += 1
            return ()
        times: tuple[int | None, int | None, float | None] = (None, None, None)
        mean = self._sum / self._updates
        if self._began is not None:
            lasted = self._at - self._began
            times = self._began, self._at, lasted / 1e6
            mean = self._area / lasted if lasted else mean
        row = (*times, self._updates, self._most, mean)
        self._updates, self._began = 0, None
        self._bps = self._most = self._area = self._sum = 0.0
        return self._rows(message, row)


def maker(dataset: Dataset, min_spread: float) -> Maker:
    """The maker of a dataset's rows for one product; `min_spread` is the threshold of wide spreads."""
    if dataset.interval:
        return BookSnapshots(dataset) if dataset.levels else Signals(dataset)
    if dataset.name == "wide_spreads":
        return _WideSpreads(dataset, min_spread)
    kinds = {"quotes": _Quotes, "incremental_book_L2": _Changes, "trades": _Trades, "status": _Statuses}
    return kinds[dataset.name](dataset)


def _says_nothing(message: Message, book: OrderBookState) -> bool:
    """Whether a message without a summary leaves the book as it was: a heartbeat, a trade, a repetition."""
    return not isinstance(message, Snapshot | L2Update | Status) or book.repeats
