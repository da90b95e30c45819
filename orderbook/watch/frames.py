"""Frames of the live page's push, as the terminal needs them: typed, checked, harmless to print."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from orderbook.printable import printable

LONGEST = 200  # characters that are kept of a text of the server's

Time = Annotated[datetime, Meta(tz=True)]
Number = Annotated[float, Meta(ge=-1e18, le=1e18)]  # what can't be drawn in a line can't be true either
Positive = Annotated[float, Meta(ge=0, le=1e15)]
Count = Annotated[int, Meta(ge=0, le=10**15)]
Level = tuple[Positive, Positive]  # price, size
Levels = Annotated[list[Level], Meta(max_length=10_000)]


class BadFrame(ValueError):
    """A frame that is not what the live page's server sends."""


class Row(Struct):
    """A product: its state, its top where it is live, and when the last frame of it came."""

    symbol: str
    event: str
    reason: str | None = None
    bid_price: Positive | None = None
    bid_amount: Positive | None = None
    ask_price: Positive | None = None
    ask_amount: Positive | None = None
    spread: Number | None = None
    spread_bps: Number | None = None
    mid: Number | None = None
    imbalance_1: Number | None = None
    seen: Time | None = None
    lag: Number | None = None


class Signals(Struct):
    """The signals of a book that are shown; None where the book has none."""

    mid: Number | None = None
    spread: Number | None = None
    spread_bps: Number | None = None
    imbalance_1: Number | None = None
    imbalance_5: Number | None = None
    imbalance_25: Number | None = None
    bid_depth_10bps: Number | None = None
    bid_depth_50bps: Number | None = None
    bid_depth_100bps: Number | None = None
    ask_depth_10bps: Number | None = None
    ask_depth_50bps: Number | None = None
    ask_depth_100bps: Number | None = None


class Book(Struct):
    """The chosen product's levels, best first, grouped by `step` unless that is 0."""

    symbol: str
    event: str
    step: Positive
    bids: Levels
    asks: Levels
    timestamp: Time | None = None
    signals: Signals | None = None


class Trade(Struct):
    """A trade of the chosen product; the side is the taker's."""

    symbol: str
    side: Literal["buy", "sell"]
    price: Positive
    amount: Positive
    id: str
    timestamp: Time | None = None


class Status(Struct):
    """What is live of all, and what was lost since the server's start."""

    kind: Literal["live", "replay"]
    live: Count
    products: Count
    connects: Count = 0
    resyncs: Count = 0
    gaps: Count = 0
    missing_trades: Count = 0
    lag_p50: Number | None = None
    lag_p99: Number | None = None
    ended: bool = False  # a replay that is over


class Frame(Struct):
    """One frame: what has changed since the one before."""

    time: Time
    status: Status | None = None
    products: Annotated[list[Row], Meta(max_length=10_000)] = []
    book: Book | None = None
    trades: Annotated[list[Trade], Meta(max_length=10_000)] = []


class Choice(Struct, frozen=True):
    """What the server is asked for; each one replaces the one before."""

    products: bool = True
    book: str | None = None
    levels: int = 10
    step: float = 0
    cost: float = 0

    def encode(self) -> str:
        """The request as JSON."""
        return msgspec.json.encode(self).decode()


_decoder = msgspec.json.Decoder(Frame)


def decode(data: str | bytes) -> Frame:
    """A frame, with its texts made harmless; `BadFrame` where it is none."""
    try:
        frame = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadFrame(clean(error)) from None
    for row in frame.products:
        row.symbol, row.event, row.reason = clean(row.symbol), clean(row.event), clean(row.reason or "")
    if frame.book:
        frame.book.symbol, frame.book.event = clean(frame.book.symbol), clean(frame.book.event)
    for trade in frame.trades:
        trade.symbol = clean(trade.symbol)
    return frame


def clean(text: object) -> str:
    """A text that may come from outside, escaped and not too long."""
    return printable(str(text)[:LONGEST])[:LONGEST]
