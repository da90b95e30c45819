"""Random market of one product, seeded, which makes the frames that the exchange would send of it.

Prices are whole ticks and sizes whole hundred-millionths, so the true book is exact; no update
looks at all levels.

The book follows two goals, a best bid and a best ask, which walk: their middle as a random walk
drawn gently home, their distance as a random spread about its mean. No bid is ever above
the one goal and no ask below the other at the end of an update, so the book never ends one crossed.
They are the best prices until trades take these away.
As on the real feed they and the best prices stay in many updates, and then move by all that is due.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import exp, log, sqrt
from random import Random
from typing import Any

from tests.exchange.side import Side
from tests.exchange.trades import Trade, Trades

MOST_CHANGES = 189
SPREAD_DEVIATION = 0.75  # of the logarithm of the spread
SPREAD_MEMORY = 0.95  # how much of the spread's deviation is left after an update
HOMING = 2e-4  # the share of its way home that the middle goes in an update
NEARBY = 0.85  # the share of new levels, and of those changed, that are near the top
NEAR = 60  # levels from the top within which most of these fall

# Sizes are drawn from a hand of ready ones, since to write a size out costs more than the rest.
SIZES = [(size, f"{size / 10**8:.8f}") for size in (1 + 3 * n**4 // 10**4 for n in range(1_000))]


class Market:
    """The market of one product; the same for the same arguments, `clock` included.

    `levels` a side (or a pair: bids, asks) is about what the book keeps for ever; `gap_ticks`
    is the usual distance of neighbouring levels near the top; `spread_ticks` the mean spread;
    `moving` the share of updates that try to move the top, for which some have too few changes;
    `changes` how many an update has, where not as many as is usual, which varies.
    The tick is one unit of the last of the price's `decimals`. `clock` gives the `time` of
    messages, in seconds since 1970. An update of 10 changes costs about 30 µs.
    """

    def __init__(
        self,
        product_id: str,
        seed: int,
        levels: int | tuple[int, int],
        mid: float,
        spread_ticks: float,
        gap_ticks: float,
        moving: float = 0.5,
        changes: int | None = None,
        decimals: int = 2,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.product_id = product_id
        self.clock = clock
        self._random = Random(f"{product_id} {seed}")
        self._gap = gap_ticks
        self._moving = moving
        self._changes = changes
        self._home = self._mid = mid * 10**decimals
        self._mean = log(spread_ticks) - SPREAD_DEVIATION**2 / 2
        self._wide = 0.0
        bids, asks = (levels, levels) if isinstance(levels, int) else levels
        self._bids = Side("buy", 1, decimals, bids, lowest=1)
        self._asks = Side("sell", -1, decimals, asks, lowest=-1000 * round(self._home))
        self._bids.goal, self._asks.goal = self._goals_at(self._mid, self._wide)
        for side in (self._bids, self._asks):
            key = side.goal
            while len(side.sizes) < side.levels:
                side.sizes[key] = self._size()[0]
                key = self._anywhere(side)
            side.keys = sorted(side.sizes)
        self._trades = Trades(product_id, seed, self._bids, self._asks, self._now)

    def snapshot(self) -> bytes:
        """The whole book, best level first; about 1 µs a level."""
        bids, asks = (self._levels(side) for side in (self._bids, self._asks))
        return (
            f'{{"type":"snapshot","product_id":"{self.product_id}",'
            f'"asks":[{asks}],"bids":[{bids}],"time":"{self._now()}"}}'
        ).encode()

    def update(self, changes: int | None = None, at: float | None = None) -> bytes:
        """The market moves: one `l2update`, of as many changes as given, or else as the market has.

        Before these it has one of each level that trades have taken from since the last update. It is
        dated as of now, or `at` a time in seconds since 1970.
        """
        random = self._random.random
        changes = changes or self._changes
        if changes is None:
            usual = round(self._random.lognormvariate(1.75, 1.0))
            changes = min(MOST_CHANGES, max(1, usual))
        for _ in range(changes - self._move(changes)):
            self._touch(self._bids if random() < 0.5 else self._asks)
        return self._update_frame(at)

    def leap(self) -> tuple[bytes, bytes]:
        """The market leaps far, in two updates: one side is cleared away, the other follows.

        Who misses the first has a crossed book after the second.
        """
        up = self._mid <= self._home
        cleared, followed = (self._asks, self._bids) if up else (self._bids, self._asks)
        distance = 40 * self._gap + 4 * (-self._bids.goal - self._asks.goal)
        self._mid += distance if up else -distance
        self._bids.goal, self._asks.goal = self._goals_at(self._mid, self._wide)
        self._clear(cleared)
        cleared.set(cleared.goal, self._size())
        first = self._update_frame()
        followed.set(followed.goal, self._size())
        for _ in range(5):
            followed.set(self._near(followed), self._size())
        return first, self._update_frame()

    def matches(self) -> list[bytes]:
        """The trades before the next update, which covers them; mostly none. About 0.2 µs, and 5 a trade."""
        return [self._trades.match(fill) for fill in self._trades.take()]

    def match(self) -> bytes:
        """One trade more, which the next update covers."""
        [fill] = self._trades.take(1)
        return self._trades.match(fill)

    def last_match(self) -> bytes:
        """The last trade, as it is sent to one who has just subscribed."""
        return self._trades.last_match()

    def heartbeat(self) -> bytes:
        """The message that comes once a second, however quiet the market."""
        return self._trades.heartbeat()

    def trades(self) -> list[Trade]:
        """All trades since the market began, in order."""
        return self._trades.happened()

    @property
    def goals(self) -> tuple[int, int, float, float]:
        """The goals of bids and asks, which no best price is beyond, and what they come of."""
        return self._bids.goal, self._asks.goal, self._mid, self._wide

    @goals.setter
    def goals(self, goals: tuple[int, int, float, float]) -> None:
        self._bids.goal, self._asks.goal, self._mid, self._wide = goals

    def best(self) -> tuple[float, float, float, float]:
        """Bid price and size, ask price and size, as floats."""
        bid, ask = self._bids.keys[-1], self._asks.keys[-1]
        bid_size, ask_size = (size / 10**8 for size in (self._bids.sizes[bid], self._asks.sizes[ask]))
        return bid / self._bids.unit, bid_size, -ask / self._asks.unit, ask_size

    def book(self) -> tuple[dict[float, float], dict[float, float]]:
        """The true book: bids and asks, sizes by price, best first."""
        return self._bids.book(), self._asks.book()

    def _goals_at(self, mid: float, wide: float) -> tuple[int, int]:
        spread = max(1, round(exp(self._mean + wide)))
        bid = round(mid - spread / 2)
        return bid, -(bid + spread)

    def _move(self, changes: int) -> int:
        """Now and then, walk the goals and bring the top to them; return how many changes it took.

        A move that would take more than there are is not made.
        """
        if self._random.random() >= self._moving:
            return 0
        gauss, due = self._random.gauss, 1 / self._moving  # updates since the last move, as a rule
        mid = self._mid + gauss(0.0, self._gap * sqrt(due)) + (self._home - self._mid) * HOMING * due
        memory = SPREAD_MEMORY**due
        wide = self._wide * memory + gauss(0.0, SPREAD_DEVIATION * sqrt(1 - memory**2))
        bid, ask = self._goals_at(mid, wide)
        cost = 2 + self._bids.better_than(bid) + self._asks.better_than(ask)
        if cost > changes:
            return 0
        self._mid, self._wide = mid, wide
        self._bids.goal, self._asks.goal = bid, ask
        for side in (self._bids, self._asks):
            self._clear(side)
            side.set(side.goal, self._size())
        return cost

    def _clear(self, side: Side) -> None:
        for key in side.keys[len(side.keys) - side.better_than(side.goal) :]:
            side.delete(key)

    def _touch(self, side: Side) -> None:
        """One change of a level, in the shares seen on the real feed."""
        random = self._random.random
        what = random()
        if what < 0.12:
            key = self._near(side)
            if key not in side.sizes:
                side.delete(key)
                return
        if what < 0.40:
            side.set(self._present(side), self._size())
        elif what < 0.41 and side.changes:
            side.set(side.changed, self._size())
        elif random() - 0.5 < (side.levels - len(side.keys)) / (side.levels * 0.05 + 10):
            side.set(self._near(side) if random() < NEARBY else self._anywhere(side), self._size())
        elif (key := self._present(side)) != side.keys[-1]:
            side.delete(key)
        else:  # the best goes only where the top moves
            side.set(key, self._size())

    def _near(self, side: Side) -> int:
        """A key near the top, with or without a level."""
        key = side.goal + int(log(1 - self._random.random()) * NEAR * self._gap)
        return key if key > side.lowest else side.lowest

    def _anywhere(self, side: Side) -> int:
        """A key at any depth, dense near the top and ever thinner below."""
        while True:
            share = self._random.random()
            key = side.goal - int(side.levels * self._gap * share / (1 - share))
            if key >= side.lowest:
                return key

    def _present(self, side: Side) -> int:
        """The key of a level that is there, more often near the top than not."""
        random = self._random.random
        count = len(side.keys)
        if random() < NEARBY:
            place = count - 1 + int(log(1 - random()) * NEAR)
            return side.keys[place if place > 0 else 0]
        return side.keys[int(random() * count)]

    def _size(self) -> tuple[int, str]:
        return SIZES[int(self._random.random() * 1_000)]

    def _levels(self, side: Side) -> str:
        shape, sizes, sign, unit = side.shape, side.sizes, side.sign, side.unit
        keys = reversed(side.keys)
        return ",".join(shape % (*divmod(key * sign, unit), f"{sizes[key] / 10**8:.8f}") for key in keys)

    def _update_frame(self, at: float | None = None) -> bytes:
        changes = ",".join(self._bids.changes + self._asks.changes)
        self._bids.changes, self._asks.changes = [], []
        return (
            f'{{"type":"l2update","product_id":"{self.product_id}",'
            f'"changes":[{changes}],"time":"{self._now(at)}"}}'
        ).encode()

    def _now(self, at: float | None = None) -> str:
        moment = datetime.fromtimestamp(self.clock() if at is None else at, UTC)
        return moment.isoformat(timespec="microseconds")[:26] + "Z"


SELDOM = {"moving": 0.05}
PRODUCTS: dict[str, dict[str, Any]] = {
    "BTC-USD": {"levels": (15_800, 27_800), "mid": 63_500, "spread_ticks": 1.5, "gap_ticks": 40} | SELDOM,
    "ETH-USD": {"levels": (10_500, 17_200), "mid": 1_775, "spread_ticks": 1.2, "gap_ticks": 2} | SELDOM,
    "BTC-EUR": {"levels": (1_500, 2_500), "mid": 60_160, "spread_ticks": 3_600, "gap_ticks": 200},
    "ETH-EUR": {"levels": (600, 900), "mid": 1_660, "spread_ticks": 100, "gap_ticks": 8},
}
"""The arguments of the markets that look like real ones."""


def market(
    product_id: str,
    seed: int,
    levels: int | tuple[int, int] | None = None,
    clock: Callable[[], float] = time.time,
    kind: type[Market] = Market,
    **others: Any,
) -> Market:
    """A product's market: as in `PRODUCTS`, or a small book of 200 levels a side.

    `levels` replaces the number of levels a side, and `others` whatever else a market of the kind takes.
    """
    shape = PRODUCTS.get(product_id, {"levels": 200, "spread_ticks": 8, "gap_ticks": 4}) | others
    if levels is not None:
        shape["levels"] = levels
    # Bids can't go below one tick: a deep generic book needs a price that leaves room.
    most = shape["levels"] if isinstance(shape["levels"], int) else max(shape["levels"])
    shape.setdefault("mid", max(250, most // 4))
    return kind(product_id, seed, clock=clock, **shape)
