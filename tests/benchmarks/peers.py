"""Order books that users may pick instead of this dataflow, and our own, without any engine.

Each takes frames that are in memory already, and returns the best bid and ask, price and size, after each
snapshot and update. Each has the decoder that proved fastest for it among `json`, `orjson`
and msgspec to tuples of strings, tuples of floats and structs: for all of them it was the last, here
without the checks that ours makes.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import msgspec

from orderbook.book import OrderBookState
from orderbook.coinbase import messages
from orderbook.coinbase.exchange import decode
from tests.benchmarks.frames import Best

Frames = list[bytes]
Sizes = dict[float, float]
Sides = tuple[Any, Any, Callable[[], tuple[float, float]], Callable[[], tuple[float, float]]]


class Level(msgspec.Struct, array_like=True, gc=False):
    price: float
    size: float


class Change(msgspec.Struct, array_like=True, gc=False):
    side: str
    price: float
    size: float


class Snapshot(msgspec.Struct, tag_field="type", tag="snapshot"):
    product_id: str
    bids: list[Level]
    asks: list[Level]


class Update(msgspec.Struct, tag_field="type", tag="l2update"):
    product_id: str
    changes: list[Change]


class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat"):
    pass


class Match(msgspec.Struct, tag_field="type", tag="match"):
    pass


class LastMatch(msgspec.Struct, tag_field="type", tag="last_match"):
    pass


class Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions"):
    pass


plain = msgspec.json.Decoder(
    Snapshot | Update | Heartbeat | Match | LastMatch | Subscriptions, strict=False
).decode


def products(frames: Frames) -> list[str]:
    """The product of each snapshot and update."""
    messages = map(plain, frames)
    return [message.product_id for message in messages if isinstance(message, Snapshot | Update)]


def our_book(frames: Frames) -> list[Best]:
    """Our decoder and `OrderBookState`, summarized after each message."""
    books: dict[str, OrderBookState] = {}
    tops: list[Best] = []
    for frame in frames:
        message = decode(frame)
        if type(message) is not messages.L2Update and type(message) is not messages.Snapshot:
            continue
        book = books.get(message.product_id)
        if book is None:
            book = books[message.product_id] = OrderBookState()
        book.update(message)
        top: Any = book.summarize()
        tops.append((top.bid_price, top.bid_size, top.ask_price, top.ask_size))
    return tops


def sortedcontainers(frames: Frames) -> list[Best]:
    """A `SortedDict` a side."""
    sorted_dict = import_module("sortedcontainers").SortedDict

    def sides(bids: Sizes, asks: Sizes) -> Sides:
        sorted_bids, sorted_asks = sorted_dict(bids), sorted_dict(asks)
        return sorted_bids, sorted_asks, partial(sorted_bids.peekitem, -1), partial(sorted_asks.peekitem, 0)

    return _mappings(frames, sides)


def order_book(frames: Frames) -> list[Best]:
    """The `OrderBook` of the package order_book, written in C."""
    new = import_module("order_book").OrderBook

    def sides(bids: Sizes, asks: Sizes) -> Sides:
        book = new()
        book.bids, book.asks = bids, asks
        return book.bids, book.asks, partial(book.bids.index, 0), partial(book.asks.index, 0)

    return _mappings(frames, sides)


def _mappings(frames: Frames, sides: Callable[[Sizes, Sizes], Sides]) -> list[Best]:
    # What is called after each message is bound beforehand, so that it costs what the plain call does.
    books: dict[str, Sides] = {}
    tops: list[Best] = []
    for frame in frames:
        message = plain(frame)
        if type(message) is Update:
            bids, asks, best_bid, best_ask = books[message.product_id]
            for change in message.changes:
                side = bids if change.side == "buy" else asks
                if change.size:
                    side[change.price] = change.size
                elif change.price in side:
                    del side[change.price]
        elif type(message) is Snapshot:
            bids, asks, best_bid, best_ask = books[message.product_id] = sides(
                {level.price: level.size for level in message.bids},
                {level.price: level.size for level in message.asks},
            )
        else:
            continue
        tops.append((*best_bid(), *best_ask()))
    return tops


def ccxt(frames: Frames) -> list[Best]:
    """The `OrderBook` that ccxt's Coinbase feed keeps."""
    new = import_module("ccxt.async_support.base.ws.order_book").OrderBook

    books: dict[str, Any] = {}
    tops: list[Best] = []
    for frame in frames:
        message = plain(frame)
        if type(message) is Update:
            book = books[message.product_id]
            bids, asks = book["bids"], book["asks"]
            for change in message.changes:
                side = bids if change.side == "buy" else asks
                side.storeArray([change.price, change.size])
        elif type(message) is Snapshot:
            book = books[message.product_id] = new()
            sides = {
                "bids": [[level.price, level.size] for level in message.bids],
                "asks": [[level.price, level.size] for level in message.asks],
            }
            book.reset(sides)
            bids, asks = book["bids"], book["asks"]
        else:
            continue
        tops.append((*bids[0], *asks[0]))
    return tops


def nautilus_cython(frames: Frames) -> list[Best]:
    """nautilus_trader's `OrderBook`, in Rust behind Cython."""
    names = ("book", "data", "enums", "identifiers", "objects")
    book, data, enums, identifiers, objects = (import_module(f"nautilus_trader.model.{n}") for n in names)
    return _nautilus(
        frames,
        book.OrderBook,
        data.BookOrder,
        enums.BookType.L2_MBP,
        enums.OrderSide,
        identifiers.InstrumentId,
        objects.Price,
        objects.Quantity,
    )


def nautilus_pyo3(frames: Frames) -> list[Best]:
    """nautilus_trader's `OrderBook`, in Rust behind PyO3."""
    rust = import_module("nautilus_trader.core.nautilus_pyo3")
    return _nautilus(
        frames,
        rust.OrderBook,
        rust.BookOrder,
        rust.BookType.L2_MBP,
        rust.OrderSide,
        rust.InstrumentId,
        rust.Price,
        rust.Quantity,
    )


def _nautilus(
    frames: Frames, new: Any, order: Any, kind: Any, side: Any, name: Any, price: Any, quantity: Any
) -> list[Best]:
    # A precision of 2 and 8 decimals fits all the products here; a size of 0 deletes.
    buy, sell = side.BUY, side.SELL
    books: dict[str, Any] = {}
    tops: list[Best] = []
    for frame in frames:
        message = plain(frame)
        if type(message) is Update:
            book = books[message.product_id]
            update = book.update
            for change in message.changes:
                size = quantity(change.size, 8)
                update(order(buy if change.side == "buy" else sell, price(change.price, 2), size, 0), 0, 0, 0)
        elif type(message) is Snapshot:
            book = new(name.from_str(f"{message.product_id}.COINBASE"), kind)
            books[message.product_id] = book
            for its, levels in ((buy, message.bids), (sell, message.asks)):
                for level in levels:
                    book.update(order(its, price(level.price, 2), quantity(level.size, 8), 0), 0, 0, 0)
        else:
            continue
        tops.append(
            (
                book.best_bid_price().as_double(),
                book.best_bid_size().as_double(),
                book.best_ask_price().as_double(),
                book.best_ask_size().as_double(),
            )
        )
    return tops
