"""What we know: a product's book, kept from its messages, and the summary of it.

How a side is kept. No level is in order; the few hundred best of them, those from `floor` up, merely
have a dict of their own, `near`, beside that of all others, `far`. A change then costs one comparison
and one touch of a dict, and as most fall near the best, of the small one. Only where the best price
itself was deleted is the next best looked for, among the near ones. When `near` runs empty or grows
long, levels move between the two, as a rule within 1 ms for 30,000; that comes seldom, in a captured
minute of the real feed not once.

Prices of asks are negated, so that on both sides the best is the greatest.
"""

import math
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from heapq import nlargest
from typing import Any, Self

import msgspec

from orderbook.coinbase.messages import L2Update, Message, Snapshot


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
    """One side of a book, sizes by price; see the head of this file."""

    __slots__ = ("best", "far", "floor", "kept", "most", "near")

    def __init__(self, sizes: dict[float, float], kept: int) -> None:
        self.kept = kept  # how many levels come near at a time, where there are so many
        self.most = 4 * kept  # how many may be near
        self.near: dict[float, float] = {}
        self.far = sizes
        self.best = self.floor = -math.inf
        self.settle()

    def settle(self) -> None:
        """Find the best price, where it is gone or there are too many near; keep `near` filled, and short."""
        near, far = self.near, self.far
        if len(near) > self.most:
            best_first = sorted(near, reverse=True)
            far.update((price, near[price]) for price in best_first[self.kept :])
            self.near = {price: near[price] for price in best_first[: self.kept]}
            self.floor = min(self.near)
        elif far and not near:
            self.near = {price: far.pop(price) for price in nlargest(self.kept, far)}
            self.floor = min(self.near)
        self.best = max(self.near, default=-math.inf)

    def copy(self) -> "_Side":
        """A copy with dicts of its own."""
        copy = _Side({}, self.kept)
        copy.best, copy.floor = self.best, self.floor
        copy.near, copy.far = self.near.copy(), self.far.copy()
        return copy

    def best_first(self, levels: int) -> list[tuple[float, float]]:
        """Up to `levels` levels, as (price, size)."""
        sizes = self.near | self.far
        return [(abs(price), sizes[price]) for price in nlargest(levels, sizes)]


class OrderBookState:
    """The book of one product, plain data: picklable, and cheap to deep-copy.

    `clock` gives seconds that never run backwards; it only serves to tell how long a book is crossed.
    `kept` is how many levels of a side come near the best at a time; it changes no answer.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, kept: int = 100) -> None:
        self._clock = clock
        self._kept = kept
        self.latest: OrderBookSummary | CrossedBook | None = None  # what `summarize` answered last
        self.changes = 0  # applied so far
        self._bids = _Side({}, kept)
        self._asks = _Side({}, kept)
        self._shared = False  # with a copy, perhaps
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
            if self._shared:
                self._own()
            self._apply(message)
        elif type(message) is Snapshot:
            self._replace(message)
        else:
            return
        bids, asks = self._bids, self._asks
        for side in (bids, asks):
            if side.best not in side.near or len(side.near) > side.most:
                side.settle()
        if bids.best < -asks.best:  # where there is no bid, or no ask, its best is -inf
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
        for change in update.changes:
            size = change.size
            if change.side == "buy":
                side, price = bids, change.price
            else:
                side, price = asks, -change.price
            if price >= side.floor:
                if size:
                    side.near[price] = size
                    if price > side.best:
                        side.best = price
                else:
                    side.near.pop(price, None)
            elif size:
                side.far[price] = size
            else:
                side.far.pop(price, None)

    def summarize(self) -> OrderBookSummary | CrossedBook | None:
        """The book's summary; `CrossedBook` in its place while bid ≥ ask, None without both sides."""
        bids, asks = self._bids, self._asks
        if not bids.near or not asks.near:
            self.latest = None
        else:
            bid, ask = bids.best, -asks.best
            if self._crossed_since is not None:
                self.latest = CrossedBook(bid, ask, self._clock() - self._crossed_since)
            else:
                spread = self._spread_between(bid, ask)
                self.latest = OrderBookSummary(bid, bids.near[bid], ask, asks.near[asks.best], spread)
        return self.latest

    def spread(self) -> float | None:
        """Best ask less best bid, exact in decimals: below 0 where crossed, None without both sides."""
        bids, asks = self._bids, self._asks
        return self._spread_between(bids.best, -asks.best) if bids.near and asks.near else None

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
        return len(self._bids.near) + len(self._bids.far), len(self._asks.near) + len(self._asks.far)

    def check(self) -> None:
        """Assert what must hold after each message; O(n), for tests."""
        for side, sign in ((self._bids, 1), (self._asks, -1)):
            near, far = side.near, side.far
            assert side.best == max(near | far, default=-math.inf), "the best is not the best"
            assert all(price >= side.floor for price in near), "a level that is not near"
            assert all(price < side.floor for price in far), "a level that is not far"
            assert near or not far, "no level near"
            assert len(near) <= side.most, "too many near"
            for price, size in (near | far).items():
                assert price * sign > 0 and size > 0, f"not a level: {price}, {size}"
        crossed = self._bids.best >= -self._asks.best
        assert (self._crossed_since is not None) == crossed, "crossed, and not said so"

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """A copy that shares the levels for as long as neither takes in more.

        Bytewax makes one at each epoch's end, and has dropped it again, as a rule, when the next message
        comes: so it costs nothing, where a true copy of a large book takes 1 ms.
        """
        copy = type(self).__new__(type(self))
        self._shared = True
        copy.__dict__.update(self.__dict__)
        return copy

    def _own(self) -> None:
        # One reference is this book's, one is the call's; any more, and a copy still lives.
        if sys.getrefcount(self._bids) > 2:
            self._bids, self._asks = self._bids.copy(), self._asks.copy()
        self._shared = False


def _live(sizes: dict[float, float]) -> dict[float, float]:
    """Without levels of size 0, which the exchange doesn't send in a snapshot, but might."""
    return sizes if all(sizes.values()) else {price: size for price, size in sizes.items() if size}
