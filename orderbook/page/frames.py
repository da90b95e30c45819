"""Frames of the push: what a client asks for, and what it is sent, as JSON.

All here are functions of what is given: of a view, of a copy of its book, of counts. What is not live has no
price and no amount. Times are ISO 8601, UTC, with microseconds.
"""

from collections.abc import Collection
from functools import cached_property
from typing import Annotated, Any

import msgspec

from orderbook import signals
from orderbook.book import OrderBookState, OrderBookSummary, Summary
from orderbook.coinbase.messages import ABSURD, Message, Trade, seconds
from orderbook.output.datasets import EXCHANGE, dataset
from orderbook.output.encoding import iso_time, iso_times, middle
from orderbook.output.intervals import REACH, signal_values
from orderbook.page import ladder
from orderbook.page.views import LIVE, State, View

encode = msgspec.json.Encoder().encode

MOST_LEVELS = 200
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e300)]
SIGNALS = [column.name for column in dataset("signals_1s").columns if column.name != "ofi"]


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client wants to see, as it says it."""

    products: bool = False
    book: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    levels: Annotated[int, msgspec.Meta(ge=1, le=MOST_LEVELS)] = 25
    step: Amount = 0.0
    cost: Amount = 0.0
    pause: bool = False

    def __post_init__(self) -> None:
        # Beyond these bounds floats overflow, or lose what a price has.
        if self.step and not 1e-12 <= self.step <= 1e12:
            raise ValueError(f"a step is 0 or from 1e-12 to 1e12, not {self.step!r}")
        if self.cost and not 1e-12 <= self.cost <= 1e15:
            raise ValueError(f"a cost is 0 or from 1e-12 to 1e15, not {self.cost!r}")


choice_of = msgspec.json.Decoder(Choice).decode
"""A client's message; raises `msgspec.DecodeError` where it is none."""


class Row(msgspec.Struct, gc=False):
    """A product in the table of all: its row of `quotes`, and more."""

    exchange: str
    symbol: str
    timestamp: str | None
    local_timestamp: str | None
    ask_amount: float | None
    ask_price: float | None
    bid_price: float | None
    bid_amount: float | None
    spread: float | None
    spread_bps: float | None
    mid: float | None
    imbalance_1: float | None
    event: str
    reason: str
    updates: int
    seen: str | None
    lag: float | None


def row(view: View, kept: Summary = None) -> bytes:
    """The row of a product; 6 µs. `kept` is a newer summary, while the book repeats what it was."""
    state, last, summary = view.state, view.last, kept or view.summary
    arrival = last.local_timestamp if last else None
    seen = None if arrival is None else iso_time(arrival // 1_000)
    times: tuple[str | None, str | None] = (seen, seen)
    bid = bid_size = ask = ask_size = spread = bps = mid = imbalance = None
    if state is LIVE and isinstance(summary, OrderBookSummary):
        bid, bid_size, ask, ask_size = summary.top
        spread, mid = summary.spread, middle(summary)
        bps, imbalance = spread / mid * 10_000, (bid_size - ask_size) / (bid_size + ask_size)
        times = iso_times(summary.time, summary.local_timestamp)
    return encode(
        Row(
            *(EXCHANGE, view.symbol, *times),
            *(ask_size, ask, bid, bid_size, spread, bps, mid, imbalance),
            *(state.event, state.reason, view.updates),
            *(seen, None if last is None else lag_of(last)),
        )
    )


def lag_of(message: Message) -> float | None:
    """Seconds from the exchange's time of a message to ours."""
    sent, received = seconds(message.time), message.local_timestamp
    if sent is None or received is None or abs(lag := received / 1e9 - sent) >= ABSURD:
        return None
    return round(max(0.0, lag), 6)


class Copy:
    """The book of a view as it was at a message's end, and what was made of it, each thing once."""

    def __init__(self, view: View) -> None:
        self.symbol, self.state, self.summary = view.symbol, view.state, view.summary
        self._book = view.book.copy() if view.book and self.state is LIVE else OrderBookState()
        self._frames: dict[tuple[int, float, float], bytes] = {}

    def is_of(self, view: View) -> bool:
        """Whether the view's book is still the one that was copied."""
        return view.summary is self.summary and view.state == self.state

    @cached_property
    def near(self) -> tuple[signals.Levels, signals.Levels]:
        """The bids and asks within `REACH` of the mid; 1 ms for 40,000 levels."""
        return self._book.within(REACH)

    def is_newer_than(self, view: View) -> bool:
        """Whether the view's book merely repeats what it was when it was copied, or before."""
        return view.repeats and view.state is LIVE and self.state is LIVE

    def forget(self, choices: Collection[Choice]) -> None:
        """Forget the frames that none of these choices is of."""
        keys = {(choice.levels, choice.step, choice.cost) for choice in choices}
        for key in self._frames.keys() - keys:
            del self._frames[key]

    def frame(self, levels: int, step: float, cost: float) -> bytes:
        """BOOK, as the push has it."""
        key = levels, step, cost
        if key not in self._frames:
            self._frames[key] = encode(self._make(*key))
        return self._frames[key]

    def _make(self, levels: int, step: float, cost: float) -> dict[str, Any]:
        made: dict[str, Any] = self._head() | {"event": self.state.event, "reason": self.state.reason}
        made |= {"step": step, "bids": [], "asks": [], "levels": None, "depth": None}
        made |= {"signals": None, "cost": None}
        if self.state is not LIVE:
            return made
        made["bids"], made["asks"] = ladder.ladder(self._book, levels, step)
        made |= self._whatever_is_chosen
        if cost:
            (bids, asks), mid = self.near, self._mid
            buy, sell = self._cost(asks, mid, cost, "asks"), self._cost(bids, mid, cost, "bids")
            made["cost"] = {"amount": cost, "buy": buy, "sell": sell}
        return made

    @cached_property
    def _mid(self) -> float:
        mid = signals.mid(*self.near)
        assert mid is not None
        return mid

    @cached_property
    def _whatever_is_chosen(self) -> dict[str, Any]:
        """What all frames of the book have."""
        bids, asks = self.near
        depth = {"bids": ladder.depth(bids, self._mid), "asks": ladder.depth(asks, self._mid)}
        values = signal_values(self._book, bids, asks)
        return {
            "levels": self._book.levels(),
            "depth": depth,
            "signals": dict(zip(SIGNALS, values, strict=True)),
        }

    def _head(self) -> dict[str, Any]:
        times: tuple[str | None, str | None] = (None, None)
        if self.state is LIVE and isinstance(self.summary, OrderBookSummary):
            times = iso_times(self.summary.time, self.summary.local_timestamp)
        return {"symbol": self.symbol, "timestamp": times[0], "local_timestamp": times[1]}

    def _cost(
        self, near: signals.Levels, mid: float, amount: float, side: ladder.Side
    ) -> dict[str, float] | None:
        found = ladder.cost(near, mid, amount, side)
        if found is None:  # it may take levels that are farther
            every = self._every[side == "asks"]
            if ladder.value(every) >= amount * (1 - signals.NOISE):
                found = ladder.cost(every, mid, amount, side)
        return found and {"average": found[0], "slippage_bps": found[1]}

    @cached_property
    def _every(self) -> tuple[signals.Levels, signals.Levels]:
        return self._book.depth(sum(self._book.levels()))

    def answer(self, levels: int) -> bytes:
        """The book as `GET /books/…` has it, which is live."""
        head = {"exchange": EXCHANGE} | self._head()
        bids, asks = self._book.depth(levels)
        return encode(head | {"bids": bids, "asks": asks})


def unknown(symbol: str) -> bytes:
    """BOOK of a product that has no view."""
    return Copy(View(symbol)).frame(1, 0.0, 0.0)


def trade(trade: Trade) -> dict[str, Any]:
    """A trade, as a row of `trades`."""
    times = iso_times(trade.time, trade.local_timestamp)
    row = {
        "exchange": EXCHANGE,
        "symbol": trade.product_id,
        "timestamp": times[0],
        "local_timestamp": times[1],
    }
    return row | {"id": str(trade.trade_id), "side": trade.side, "price": trade.price, "amount": trade.size}


def not_live(symbol: str, state: State) -> dict[str, str]:
    """Why a product is not live."""
    return {"symbol": symbol, "event": state.event, "reason": state.reason}
