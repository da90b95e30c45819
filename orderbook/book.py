"""What we know: a product's book, kept from its messages, and the summary of it.

How a side is kept. A dict holds the size at each price. The best prices, a thousand and more where
there are so many, also stand in a list in ascending order; all that are better than its `floor` do.
Prices of asks are negated, so that on both sides the best is the list's last: there prices come and
go, and there a list is cheap to change. A deleted level is gone from the dict at once, and from the
list when it comes to be the last. So a change of size costs one look in the dict, and so does any
change to a level far from the best; a new level near it costs a binary search and a short move, the
best price nothing. The list is made anew when it has grown long, from itself, or when the market has
moved past all of it, from the dict; thousands of changes lie between, so they pay for it.
"""

import math
import time
from bisect import insort
from collections.abc import Callable
from decimal import Decimal
from heapq import nlargest
from typing import Any, Self

import msgspec

from orderbook.messages import L2Update, Message, Snapshot


class OrderBookSummary(msgspec.Struct, frozen=True, gc=False):
    """The best bid and the best ask of a book with both sides, bid below ask; so the spread is above 0."""

    bid_price: float
    bid_size: float
    ask_price: float
    ask_size: float
    spread: float


class CrossedBook(msgspec.Struct, frozen=True, gc=False):
    """A book whose best bid is at or above its best ask, and for how many seconds it has been so."""

    bid_price: float
    ask_price: float
    seconds: float


class _Side:
    """One side of a book; see the head of this file."""

    __slots__ = ("floor", "kept", "most", "near", "sizes")

    def __init__(self, sizes: dict[float, float], kept: int) -> None:
        self.sizes = sizes
        self.kept = kept  # how many prices a new list holds, where there are so many
        self.near: list[float] = []
        self.floor = -math.inf
        self.gather()

    def settle(self) -> None:
        """Make the list's last a live price, the best; each dead one is dropped once."""
        sizes, near = self.sizes, self.near
        while near and near[-1] not in sizes:
            near.pop()
        if len(near) > self.most or (sizes and not near):
            self.gather()

    def gather(self) -> None:
        """Make the list anew: of its own live prices, or of all where it has none left."""
        near = sorted(self.sizes.keys() & self.near)
        if not near:
            near = sorted(self.sizes)
            self.floor = -math.inf
        if len(near) > self.kept:
            near = near[-self.kept :]
            self.floor = near[0]
        self.near = near
        self.most = 3 * len(near) + 30  # prices that it may grow to, dead ones among them

    def copy(self) -> "_Side":
        copy = _Side({}, self.kept)
        copy.sizes, copy.near = self.sizes.copy(), self.near.copy()
        copy.floor, copy.most = self.floor, self.most
        return copy

    def best_first(self, levels: int) -> list[tuple[float, float]]:
        """Up to `levels` levels, as (price, size)."""
        return [(abs(price), self.sizes[price]) for price in nlargest(levels, self.sizes)]


class OrderBookState:
    """The book of one product, plain data: picklable, and cheap to deep-copy.

    `clock` gives seconds that never run backwards; it only serves to tell how long a book is crossed.
    `kept` is how many prices of a side are kept in order at the least; it changes no answer.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, kept: int = 1_000) -> None:
        self._clock = clock
        self._kept = kept
        self.latest: OrderBookSummary | CrossedBook | None = None  # what `summarize` answered last
        self.changes = 0  # applied so far
        self._bids = _Side({}, kept)
        self._asks = _Side({}, kept)
        self._synced = False  # no snapshot yet: changes have nothing to change
        self._crossed_since: float | None = None
        self._spread = 0.0
        self._spread_of = (0.0, 0.0)

    def update(self, message: Message) -> None:
        """Take in a message; the book is judged at its end, never within.

        A snapshot replaces the book. A change before the first snapshot is dropped, a delete of a
        level that is not there does nothing. Messages that say nothing of the book leave it alone.
        Costs about 0.2 µs a change, and O(n) for a snapshot.
        """
        if type(message) is L2Update:
            if not self._synced:
                return
            self._apply(message)
        elif type(message) is Snapshot:
            self._replace(message)
        else:
            return
        self._bids.settle()
        self._asks.settle()
        if not self._is_crossed():
            self._crossed_since = None
        elif self._crossed_since is None:
            self._crossed_since = self._clock()

    def _replace(self, snapshot: Snapshot) -> None:
        bids = {level.price: level.size for level in snapshot.bids}
        asks = {-level.price: level.size for level in snapshot.asks}
        self._bids, self._asks = _Side(_live(bids), self._kept), _Side(_live(asks), self._kept)
        self._synced = True
        self._crossed_since = None

    def _apply(self, update: L2Update) -> None:
        self.changes += len(update.changes)
        bids, asks = self._bids, self._asks
        bid_sizes, bid_near, bid_floor = bids.sizes, bids.near, bids.floor
        ask_sizes, ask_near, ask_floor = asks.sizes, asks.near, asks.floor
        for change in update.changes:
            size = change.size
            if change.side == "buy":
                price, sizes, near, floor = change.price, bid_sizes, bid_near, bid_floor
            else:
                price, sizes, near, floor = -change.price, ask_sizes, ask_near, ask_floor
            if size:
                if price > floor and price not in sizes:
                    insort(near, price)
                sizes[price] = size
            elif price in sizes:
                del sizes[price]

    def _is_crossed(self) -> bool:
        bids, asks = self._bids.near, self._asks.near
        return bool(bids and asks) and bids[-1] >= -asks[-1]

    def summarize(self) -> OrderBookSummary | CrossedBook | None:
        """The book's summary; `CrossedBook` in its place while bid ≥ ask, None without both sides."""
        bids, asks = self._bids, self._asks
        if not bids.near or not asks.near:
            self.latest = None
        else:
            bid, negated_ask = bids.near[-1], asks.near[-1]
            ask = -negated_ask
            if self._crossed_since is not None:
                self.latest = CrossedBook(bid, ask, self._clock() - self._crossed_since)
            else:
                spread = self._spread_between(bid, ask)
                self.latest = OrderBookSummary(bid, bids.sizes[bid], ask, asks.sizes[negated_ask], spread)
        return self.latest

    def spread(self) -> float | None:
        """Best ask less best bid, exact in decimals: below 0 where crossed, None without both sides."""
        bids, asks = self._bids.near, self._asks.near
        return self._spread_between(bids[-1], -asks[-1]) if bids and asks else None

    def _spread_between(self, bid: float, ask: float) -> float:
        # The prices were decimals before they were floats, and repr gives those decimals back; the
        # difference of the floats has noise in it. At 1 µs, kept for as long as both stay.
        if self._spread_of != (bid, ask):
            self._spread_of = (bid, ask)
            self._spread = float(Decimal(repr(ask)) - Decimal(repr(bid)))
        return self._spread

    def depth(self, levels: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The best `levels` bids and asks, best first, as (price, size); fewer where there are fewer.

        O(n), and slower the more levels are asked for.
        """
        return self._bids.best_first(levels), self._asks.best_first(levels)

    def levels(self) -> tuple[int, int]:
        """How many bids and asks there are."""
        return len(self._bids.sizes), len(self._asks.sizes)

    def check(self) -> None:
        """Assert what must hold after each message; O(n), for tests."""
        for side in (self._bids, self._asks):
            near = side.near
            assert near == sorted(near), "out of order"
            assert {price for price in side.sizes if price > side.floor} <= set(near), "a near price left out"
            assert all(size > 0 for size in side.sizes.values()), "a size of 0 or below"
            assert near[-1:] == sorted(side.sizes)[-1:], "the list's last is not the best"
            assert len(near) <= side.most <= 3 * side.kept + 30, "the list has grown too long"
        assert all(price > 0 for price in self._bids.sizes), "a bid at or below 0"
        assert all(price < 0 for price in self._asks.sizes), "an ask that is not negated"
        assert (self._crossed_since is not None) == self._is_crossed(), "crossed, and not said so"

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """A copy of its own levels. Bytewax makes one at each epoch's end: here 1 ms, not 24."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._bids, copy._asks = self._bids.copy(), self._asks.copy()
        return copy


def _live(sizes: dict[float, float]) -> dict[float, float]:
    """Without levels of size 0, which the exchange doesn't send in a snapshot, but might."""
    return {price: size for price, size in sizes.items() if size} if 0.0 in sizes.values() else sizes
