"""What we know: a product's book, kept from its messages, and the summary of it.

How a side is kept. A dict holds the size at each price, a list the same prices in ascending order.
Prices on the ask side are negated, so that on both sides the best price is the list's last: there
new levels come and go, and there a list is cheap to change. A deleted level stays in both, with
size 0, until it is the last or until half of the list is dead; many a level comes back before that,
and then nothing moves. So a change of size costs one look in the dict, a new level a binary search
and a short move in the list, the best price nothing, and memory stays within twice the live levels.
"""

import time
from bisect import insort
from collections.abc import Callable
from decimal import Decimal
from itertools import islice
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

    __slots__ = ("prices", "sizes")

    def __init__(self, sizes: dict[float, float], prices: list[float]) -> None:
        self.sizes = sizes
        self.prices = prices

    @classmethod
    def of(cls, sizes: dict[float, float]) -> Self:
        """A side of live levels only; O(n log n), O(n) where they come in order."""
        if 0.0 in sizes.values():
            sizes = {price: size for price, size in sizes.items() if size}
        return cls(sizes, sorted(sizes))

    def drop_dead_top(self) -> None:
        """Make the list's last a live level; each dead one is dropped once."""
        sizes, prices = self.sizes, self.prices
        while prices and not sizes[prices[-1]]:
            del sizes[prices.pop()]

    def copy(self) -> "_Side":
        return _Side(self.sizes.copy(), self.prices.copy())

    def live(self) -> int:
        sizes = list(self.sizes.values())  # in one step, so no other thread can come in between
        return len(sizes) - sizes.count(0.0)

    def best_first(self, levels: int) -> list[tuple[float, float]]:
        """Up to `levels` live levels, as (price, size)."""
        live = ((abs(price), self.sizes[price]) for price in reversed(self.prices) if self.sizes[price])
        return list(islice(live, levels))


class OrderBookState:
    """The book of one product, plain data: picklable, and cheap to deep-copy.

    `clock` gives seconds that never run backwards; it only serves to tell how long a book is crossed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bids = _Side({}, [])
        self._asks = _Side({}, [])
        self.changes = 0  # applied so far
        self._deletes = 0  # since the dead levels were last swept out: an upper bound of them
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
        self._bids.drop_dead_top()
        self._asks.drop_dead_top()
        if not self._is_crossed():
            self._crossed_since = None
        elif self._crossed_since is None:
            self._crossed_since = self._clock()

    def _replace(self, snapshot: Snapshot) -> None:
        self._bids = _Side.of({level.price: level.size for level in snapshot.bids})
        self._asks = _Side.of({-level.price: level.size for level in snapshot.asks})
        self._deletes = 0
        self._synced = True
        self._crossed_since = None

    def _apply(self, update: L2Update) -> None:
        self.changes += len(update.changes)
        bids, asks = self._bids, self._asks
        bid_sizes, bid_prices = bids.sizes, bids.prices
        ask_sizes, ask_prices = asks.sizes, asks.prices
        for change in update.changes:
            size = change.size
            if change.side == "buy":
                price, sizes, prices = change.price, bid_sizes, bid_prices
            else:
                price, sizes, prices = -change.price, ask_sizes, ask_prices
            if price in sizes:
                sizes[price] = size
                if not size:
                    self._deletes += 1
            elif size:
                sizes[price] = size
                insort(prices, price)
        if self._deletes * 2 > len(bid_prices) + len(ask_prices):
            self._bids, self._asks = _Side.of(bid_sizes), _Side.of(ask_sizes)
            self._deletes = 0

    def _is_crossed(self) -> bool:
        bids, asks = self._bids.prices, self._asks.prices
        return bool(bids and asks) and bids[-1] >= -asks[-1]

    def summarize(self) -> OrderBookSummary | CrossedBook | None:
        """The book's summary; `CrossedBook` in its place while bid ≥ ask, None without both sides."""
        bids, asks = self._bids, self._asks
        if not bids.prices or not asks.prices:
            return None
        bid, negated_ask = bids.prices[-1], asks.prices[-1]
        if self._crossed_since is not None:
            return CrossedBook(bid, -negated_ask, self._clock() - self._crossed_since)
        return OrderBookSummary(
            bid,
            bids.sizes[bid],
            -negated_ask,
            asks.sizes[negated_ask],
            self._spread_between(bid, -negated_ask),
        )

    def spread(self) -> float | None:
        """Best ask less best bid, exact in decimals: below 0 where crossed, None without both sides."""
        bids, asks = self._bids.prices, self._asks.prices
        return self._spread_between(bids[-1], -asks[-1]) if bids and asks else None

    def _spread_between(self, bid: float, ask: float) -> float:
        # The prices were decimals before they were floats, and repr gives those decimals back; the
        # difference of the floats has noise in it. At 1 µs, kept for as long as both stay.
        if self._spread_of != (bid, ask):
            self._spread_of = (bid, ask)
            self._spread = float(Decimal(repr(ask)) - Decimal(repr(bid)))
        return self._spread

    def depth(self, levels: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The best `levels` bids and asks, best first, as (price, size); fewer where there are fewer."""
        return self._bids.best_first(levels), self._asks.best_first(levels)

    def levels(self) -> tuple[int, int]:
        """How many bids and asks there are; O(n), and safe while another thread updates the book."""
        return self._bids.live(), self._asks.live()

    def check(self) -> None:
        """Assert what must hold after each message; O(n), for tests."""
        for side in (self._bids, self._asks):
            assert all(a < b for a, b in zip(side.prices, side.prices[1:], strict=False)), "out of order"
            assert set(side.prices) == set(side.sizes), "a price without a size, or a size without one"
            assert all(size >= 0 for size in side.sizes.values()), "a size below 0"
            assert not side.prices or side.sizes[side.prices[-1]] > 0, "the best level is dead"
        assert all(price > 0 for price in self._bids.prices), "a bid at or below 0"
        assert all(price < 0 for price in self._asks.prices), "an ask that is not negated"
        known = len(self._bids.sizes) + len(self._asks.sizes)
        dead = sum(not size for side in (self._bids, self._asks) for size in side.sizes.values())
        assert dead <= self._deletes, "more dead levels than deletes"
        assert self._deletes <= known, "dead levels not swept out"
        assert (self._crossed_since is not None) == self._is_crossed(), "crossed, and not said so"

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """A copy of its own levels. Bytewax makes one at each epoch's end: here 1 ms, not 24."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._bids, copy._asks = self._bids.copy(), self._asks.copy()
        return copy
