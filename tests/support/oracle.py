"""Naive oracle: the lines that a stream of frames must bring, by the plainest means.

It shares nothing with the code that it judges: `json`, a dict a side, `min`, `max` and `Decimal`.
"""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

GREATEST = 1e300
MOST_CHANGES = 50_000  # of a message; a real one has 3,000


class Top(NamedTuple):
    """The best levels of a book that has both sides and is neither crossed nor locked."""

    bid_price: float
    bid_size: float
    ask_price: float
    ask_size: float
    spread: float


class Oracle:
    """The true book of one product, after each frame.

    A snapshot or update costs one pass over all levels; any other frame costs its decoding.
    """

    def __init__(self, product_id: str) -> None:
        self.product_id = product_id
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.live = False

    def apply(self, frame: bytes) -> str | None:
        """Apply a frame; return the line that it must bring to stdout, if any.

        Every line that a summary gives is returned, however narrow its spread. Raises
        `ValueError` for a frame that can't be trusted, and leaves the book as it was.
        """
        top = self.judge(frame)
        return None if top is None else line(self.product_id, top)

    def judge(self, frame: bytes) -> Top | None:
        """Apply a frame; return the top of the book after it, if the frame is one that changes books."""
        message = decoded(frame)
        if message["type"] == "disconnect":  # a recording's own
            self.bids, self.asks, self.live = {}, {}, False
        if message["type"] not in ("snapshot", "l2update"):
            return None
        if message.get("product_id") != self.product_id:
            raise ValueError(f"{self.product_id}: frame of {message.get('product_id')}")
        try:
            if message["type"] == "snapshot":
                bids = {number(p, 5e-324): number(s) for p, s in message["bids"]}
                asks = {number(p, 5e-324): number(s) for p, s in message["asks"]}
                self.bids = {price: size for price, size in bids.items() if size}
                self.asks = {price: size for price, size in asks.items() if size}
                self.live = True
            elif len(message["changes"]) > MOST_CHANGES:
                raise ValueError(f"{self.product_id}: {len(message['changes'])} changes")
            else:
                changes = [
                    ({"buy": self.bids, "sell": self.asks}[side], number(p, 5e-324), number(s))
                    for side, p, s in message["changes"]
                ]
                if not self.live:
                    return None
                for levels, price, size in changes:
                    if size:
                        levels[price] = size
                    else:
                        levels.pop(price, None)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{self.product_id}: wrong shape: {error!r}") from error
        return self.top()

    def top(self) -> Top | None:
        """The best levels, or None for a book without both sides, crossed or locked."""
        best = self.best()
        if best is None or best[0] >= best[2]:
            return None
        spread = float(Decimal(repr(best[2])) - Decimal(repr(best[0])))
        return Top(*best, spread)

    def best(self) -> tuple[float, float, float, float] | None:
        """Bid price and size, ask price and size, crossed or not; None without both sides."""
        if not self.bids or not self.asks:
            return None
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]


def decoded(frame: bytes) -> dict[str, Any]:
    """The frame as a dict with a `type`; `ValueError` if it isn't one."""
    try:
        message = json.loads(frame, object_pairs_hook=each_once)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError(f"not a message: {frame[:80]!r}")
    return message


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; `ValueError` where a key is there twice."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"a key is there twice: {pairs[:9]}")
    return dict(pairs)


def number(text: str, least: float = 0.0) -> float:
    """A price or size as a float; `ValueError` if not finite or out of `least`..1e300."""
    value = float(text)
    if not least <= value <= GREATEST:
        raise ValueError(f"{text!r} is out of range")
    return value


def line(product_id: str, top: Top) -> str:
    """A product's summary as it stands on stdout, without the line's end."""
    fields = ", ".join(f"{name}={value!r}" for name, value in top._asdict().items())
    return f"('{product_id}', OrderBookSummary({fields}))"


def lines(frames: Iterable[bytes], min_spread: float = -1.0) -> dict[str, list[str]]:
    """The lines that the frames must bring, product by product, in order.

    Frames may mix products. A summary passes whose spread is strictly more than `min_spread`
    as a fraction of the ask price. Raises `ValueError` at a frame that can't be trusted.
    """
    oracles: dict[str, Oracle] = {}
    expected: dict[str, list[str]] = {}
    for frame in frames:
        product_id = decoded(frame).get("product_id")
        if not isinstance(product_id, str):
            continue
        oracle = oracles.setdefault(product_id, Oracle(product_id))
        passed = expected.setdefault(product_id, [])
        top = oracle.judge(frame)
        if top is not None and top.spread / top.ask_price > min_spread:
            passed.append(line(product_id, top))
    return expected
