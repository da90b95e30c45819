"""A product's order book, kept from its messages, and the summary of it.

## Operations
- Set or delete the size at a price: some 200 a second of a busy product.
- Read the best bid and ask, after each message.
- Read the best few levels, replace all of them by a snapshot, copy the book: now and then.

## Goals
- A change costs the same in a book of 100 levels and of 100,000, whatever side it is on.
- The live levels take memory, and nothing else does; how, see `side`.
"""

import math
import reprlib
from collections.abc import Callable
from decimal import Context, Decimal
from functools import partial
from typing import Any, Self

import msgspec

from orderbook.coinbase.messages import MAX_LEVELS, L2Update, Message, Snapshot, Status, both_times, seconds
from orderbook.side import Side, best_first

REPEATED = 60.0  # seconds that a renewed connection may be behind; more is a clock gone wrong


class OrderBookSummary(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask of a book with both sides, bid below ask, and the times of its last message."""

    bid_price: float
    bid_size: float
    ask_price: float
    ask_size: float
    spread: float
    time: str | None = None
    local_timestamp: int | None = None

    @property
    def timestamp(self) -> int | None:
        """When the exchange says that the book was so, in nanoseconds since 1970; see `both_times`."""
        return both_times(self.time, self.local_timestamp)[0]

    @property
    def top(self) -> tuple[float, float, float, float]:
        """Bid price and size, ask price and size."""
        return self.bid_price, self.bid_size, self.ask_price, self.ask_size

    def __repr__(self) -> str:
        return (
            f"OrderBookSummary(bid_price={self.bid_price!r}, bid_size={self.bid_size!r}, "
            f"ask_price={self.ask_price!r}, ask_size={self.ask_size!r}, spread={self.spread!r})"
        )

    def is_wider_than(self, fraction: float) -> bool:
        """Whether the spread is above this fraction of the ask price, exactly.

        Takes 0.2 µs, and 4 µs where floats are too near to tell.
        """
        share = self.spread / self.ask_price  # right but for its last digits
        if share < 0.999999999 * fraction:
            return False
        if share > 1.000000001 * fraction:
            return True
        spread, ask, least = (Decimal(repr(number)) for number in (self.spread, self.ask_price, fraction))
        return spread > Context(prec=40).multiply(ask, least)  # two floats have at most 34 digits


class CrossedBook(msgspec.Struct, frozen=True, gc=False):
    """The best prices of a book whose bid is at or above its ask.

    `crossing` numbers the crossings of the book: it stays the same for as long as the book stays crossed,
    and is greater by one where the book is crossed anew, or by a snapshot.
    """

    bid_price: float
    ask_price: float
    crossing: int


class OversizedBook(msgspec.Struct, frozen=True, gc=False):
    """How many levels a book had that can't be true; it is dropped, until the next snapshot."""

    bids: int
    asks: int


Summary = OrderBookSummary | CrossedBook | OversizedBook | None  # what a book answers after a message

Depth = tuple[list[tuple[float, float]], list[tuple[float, float]]]  # bids and asks, best first

Step = Callable[["OrderBookState | None", Message], tuple["OrderBookState", Summary]]  # keeps a book


class OrderBookState:
    """The book of one product, plain data: picklable, and cheap to deep-copy.

    `kept` levels of a side come near the best at a time; it changes no answer. `changes` were applied so far.
    """

    def __init__(self, kept: int = 100) -> None:
        self.changes = 0
        self._kept = kept
        self._bids, self._asks = Side({}, kept), Side({}, kept)
        self._shared = False  # the sides, with a copy
        self._synced = False  # no snapshot yet: changes have nothing to change
        self._crossings = 0
        self._summary: Summary = None
        self._time: str | None = None  # of the last message that changed the book
        self._known_until: float | None = None  # while the book repeats what it was, in seconds since 1970
        self._has_odd_time = False  # the last message that repeats

    @property
    def is_live(self) -> bool:
        """Whether it has had its snapshot, and its stream has not broken off since."""
        return self._synced

    @property
    def repeats(self) -> bool:
        """Whether the book is, since a snapshot of an earlier time, at most as new as it was before."""
        return self._known_until is not None

    def update(self, message: Message) -> None:
        """Apply a message; the book is judged at its end, never within.

        A snapshot replaces the book; a `Status` ends it, until the next snapshot. A change before the first
        snapshot is dropped, a delete of a level that is not there does nothing.
        Costs about 0.2 µs a change, and O(n) for a snapshot. Raises `TypeError` for what is no message.
        """
        if type(message) is L2Update:
            if not self._synced:
                self._summary = None
                return
            if self._shared:
                self._bids, self._asks, self._shared = self._bids.copy(), self._asks.copy(), False
            self.changes += len(message.changes)
            Side.apply(message.changes, self._bids, self._asks)
            if self._known_until is not None:
                self._go_on_from(self._known_until, message)
            if message.time and message.time >= "1970":  # the year 1 has been seen
                self._time = message.time
        elif type(message) is Snapshot:
            self._replace(message)
        elif type(message) is Status:
            self._end()
            return
        elif isinstance(message, Message):
            return
        else:
            kind = type(message).__name__
            raise TypeError(f"a book takes messages of a product, not {kind}: {reprlib.repr(message)}")
        self._judge(message)

    def _end(self) -> None:
        self._bids, self._asks = Side({}, self._kept), Side({}, self._kept)
        self._shared, self._synced, self._summary = False, False, None
        self._time = self._known_until = None

    def _replace(self, snapshot: Snapshot) -> None:
        bids = {level.price: level.size for level in snapshot.bids}
        asks = {-level.price: level.size for level in snapshot.asks}
        for sizes in (bids, asks):  # the exchange sends no levels of size 0 in a snapshot, but might
            for price in [price for price, size in sizes.items() if not size]:
                del sizes[price]
        self._bids, self._asks = Side(bids, self._kept), Side(asks, self._kept)
        self._shared, self._synced, self._summary = False, True, None
        until = seconds(self._time) if self._known_until is None else self._known_until
        self._known_until = until if 0 <= _ahead(until, snapshot) < REPEATED else None
        self._has_odd_time = False
        self._time = snapshot.time if snapshot.time and snapshot.time >= "1970" else None

    def _go_on_from(self, until: float, update: L2Update) -> None:
        """End the repeating at an update that is newer, or at the second in a row whose time says nothing."""
        ahead = _ahead(until, update)
        was_odd, self._has_odd_time = self._has_odd_time, not ahead < REPEATED
        if ahead < 0 or (was_odd and self._has_odd_time):
            self._known_until = None

    def _judge(self, message: Snapshot | L2Update) -> None:
        bids, asks, before = self._bids, self._asks, self._summary
        bid, ask = bids.best, -asks.best
        if len(bids.far) > MAX_LEVELS or len(asks.far) > MAX_LEVELS:
            size = self.levels()
            self._end()
            self._summary = OversizedBook(*size)
        elif not bids.near or not asks.near:
            self._summary = None
        elif bid >= ask:
            if type(before) is not CrossedBook:
                self._crossings += 1
            self._summary = CrossedBook(bid, ask, self._crossings)
        else:
            if type(before) is OrderBookSummary and before.bid_price == bid and before.ask_price == ask:
                spread = before.spread
            else:
                spread = _difference(ask, bid)
            self._summary = OrderBookSummary(
                bid, bids.near[bid], ask, asks.near[-ask], spread, message.time, message.local_timestamp
            )

    def summarize(self) -> Summary:
        """The book's summary, made at the last message's end; any thread may ask for it.

        `CrossedBook` in its place while bid ≥ ask, None without both sides; `OversizedBook` comes once,
        when a side has grown beyond `MAX_LEVELS`.
        """
        return self._summary

    def spread(self) -> float | None:
        """Best ask less best bid, exact in decimals: 0 or below where crossed, None without both sides."""
        bids, asks = self._bids, self._asks
        return _difference(-asks.best, bids.best) if bids.near and asks.near else None

    def depth(self, levels: int) -> Depth:
        """The best `levels` bids and asks, best first, as (price, size); fewer where there are fewer.

        Takes under 30 µs for few, and O(n) for more than are kept near, as a rule 25 to 400.
        """
        return self._bids.best_first(levels), self._asks.best_first(levels)

    def hold(self, levels: int) -> Callable[[], Depth]:
        """What gives `depth(levels)` of now, later: takes 3 µs now, and what is left of the time then."""
        return partial(_depth, levels, self._bids.hold(levels), self._asks.hold(levels))

    def within(self, fraction: float) -> Depth:
        """The bids and asks within this fraction of the mid from it, or a hair farther, and always the best.

        The book is not crossed. Empty without both sides. O(n): takes 1 ms in a book of 30,000 levels.
        """
        bids, asks = self._bids, self._asks
        if not bids.near or not asks.near:
            return [], []
        mid = (bids.best - asks.best) / 2
        reach = mid * fraction * 1.000000001
        return bids.down_to(min(mid - reach, bids.best)), asks.down_to(min(-mid - reach, asks.best))

    def levels(self) -> tuple[int, int]:
        """How many bids and asks there are; any thread may ask."""
        return len(self._bids), len(self._asks)

    def copy(self) -> Self:
        """A copy with sides of its own, for a thread that shows it; O(n), 0.3 ms for 60,000 levels."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__, _bids=self._bids.copy(), _asks=self._asks.copy())
        return copy

    def check(self) -> None:
        """Assert what holds after each message; O(n), for tests."""
        bids, asks, summary = self._bids, self._asks, self._summary
        bids.check()
        asks.check()
        assert all(price > 0 for price in bids.near | bids.far), "a bid's price is not above 0"
        assert all(price < 0 for price in asks.near | asks.far), "an ask's price is not above 0"
        if summary is None or isinstance(summary, OversizedBook):
            assert not bids.near or not asks.near, "two sides, and no summary"
            return
        assert (summary.bid_price, summary.ask_price) == (bids.best, -asks.best), "a summary of another top"
        if isinstance(summary, CrossedBook):
            assert bids.best >= -asks.best, "not crossed, and called so"
            assert summary.crossing == self._crossings, "a crossing of before"
        else:
            sizes = bids.near[bids.best], asks.near[asks.best]
            assert (summary.bid_size, summary.ask_size) == sizes, "a summary of other sizes"
            assert summary.spread > 0, "crossed, and not called so"

    def __repr__(self) -> str:
        if not self._synced:
            return "OrderBookState(no snapshot yet)"
        bids, asks = self.levels()
        top = [" × ".join(map(str, side[0])) if side else "none" for side in self.depth(1)]
        crossed = "crossed, " if isinstance(self._summary, CrossedBook) else ""
        return f"OrderBookState({crossed}bid {top[0]}, ask {top[1]}, {bids:,} bids, {asks:,} asks)"

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """A copy that shares the sides until either book is updated; that update copies them.

        Bytewax copies all books at once at an epoch's end, 15 to 30 ms for four of 45,000 levels with gaps
        from deletes. So each waits for its own next update, which takes 0.6 to 3 ms longer then.
        """
        copy = type(self).__new__(type(self))
        self._shared = True
        copy.__dict__.update(self.__dict__)
        return copy


def _ahead(until: float | None, message: Snapshot | L2Update) -> float:
    """Seconds by which a time is ahead of a message's; NaN where one of them is not known."""
    at = seconds(message.time)
    return math.nan if until is None or at is None else until - at


def _difference(ask: float, bid: float) -> float:
    # The prices were decimals before they were floats, and repr gives those decimals back; the
    # difference of the floats has noise in it. Takes 1 µs.
    return float(Decimal(repr(ask)) - Decimal(repr(bid)))


def _depth(levels: int, bids: dict[float, float], asks: dict[float, float]) -> Depth:
    return best_first(bids, levels), best_first(asks, levels)
