"""Trades of a simulated market: when they happen, what they take, and the messages that tell of them.

Before some updates there is a bunch of trades, mostly of one. All of a bunch take from the best level of one
side, and from the next where that is gone; the update names these levels with what is left of them.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from tests.exchange.side import Side

BUNCHES = 0.12  # the share of updates before which there are trades
SINGLE = 0.81  # the share of bunches that are a single trade
MORE = 4.0  # how many trades more than two the others have, in the mean
WHOLE = 0.16  # the share of trades that take all that is left of a level
JUMP = 35.0  # by how much the sequence grows from message to message, in the mean


class Trade(NamedTuple):
    """A trade that happened; `side` is the maker's, `buy` or `sell`."""

    id: int
    side: str
    price: float
    size: float


class Fill(NamedTuple):
    """What a trade takes: from which side, at which of its keys, and how much."""

    side: Side
    key: int
    size: int


class Trades:
    """The trades of one market, with ids that have no holes, and its sequence; `now` gives their times.

    The first last trade happened before the market began, and left the book as it is.
    """

    def __init__(self, product_id: str, seed: int, bids: Side, asks: Side, now: Callable[[], str]) -> None:
        self._product_id = product_id
        self._sides = bids, asks
        self._now = now
        self._random = Random(f"trades of {product_id} {seed}")
        self._sequence = 10**11
        self._id = 10**9
        self._happened: list[tuple[int, str, float, float]] = []  # plain, which costs the collector nothing
        self._last = self._frame(Fill(bids, bids.goal, 10**5))

    def take(self, count: int | None = None) -> list[Fill]:
        """Take from the best levels for the trades before the next update, or for so many."""
        random = self._random.random
        if count is None:
            if random() >= BUNCHES:
                return []
            count = 1 if random() < SINGLE else 2 + int(self._random.expovariate(1 / MORE))
        side = self._sides[random() < 0.5]
        fills: list[Fill] = []
        left: dict[int, int] = {}
        while len(fills) < count and len(left) + 1 < len(side.keys):  # a side never loses its last level
            key = side.keys[-1 - len(left)]
            left[key] = side.sizes[key]
            while len(fills) < count and left[key]:
                part = max(1, int(left[key] * random() ** 4))
                fills.append(Fill(side, key, left[key] if random() < WHOLE else part))
                left[key] -= fills[-1].size
        for key, size in left.items():
            side.put(key, size)
        return fills

    def match(self, fill: Fill) -> bytes:
        """The message of a trade that happens now."""
        side, key, size = fill
        self._id += 1
        self._happened.append((self._id, side.word, key * side.sign / side.unit, size / 10**8))
        self._last = self._frame(fill)
        return self._last

    def last_match(self) -> bytes:
        """The message of the last trade for one who has just subscribed."""
        return self._last.replace(b"match", b"last_match", 1)

    def heartbeat(self) -> bytes:
        """The message that comes once a second, however quiet the market."""
        return (
            f'{{"type":"heartbeat","last_trade_id":{self._id},"product_id":"{self._product_id}",'
            f'"sequence":{self._next()},"time":"{self._now()}"}}'
        ).encode()

    def happened(self) -> list[Trade]:
        """All trades since the market began, in order."""
        return [Trade(*trade) for trade in self._happened]

    def _frame(self, fill: Fill) -> bytes:
        side, key, size = fill
        price = side.price % divmod(key * side.sign, side.unit)
        maker, taker = (f"00000000-0000-4000-{kind}-{self._id:012x}" for kind in ("8000", "9000"))
        return (
            f'{{"type":"match","trade_id":{self._id},"maker_order_id":"{maker}",'
            f'"taker_order_id":"{taker}","side":"{side.word}","size":"{unpadded(f"{size / 10**8:.8f}")}",'
            f'"price":"{unpadded(price)}","product_id":"{self._product_id}",'
            f'"sequence":{self._next()},"time":"{self._now()}"}}'
        ).encode()

    def _next(self) -> int:
        self._sequence += 2 + int(self._random.expovariate(1 / JUMP))
        return self._sequence


def unpadded(number: str) -> str:
    """A decimal number without zeros at its end."""
    return number.rstrip("0").rstrip(".")
