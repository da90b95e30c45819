"""Test that the random market goes on for ever, makes frames of its true book, and looks like a real one."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from orderbook.book import OrderBookState, OrderBookSummary
from orderbook.coinbase.exchange import decode
from orderbook.coinbase.messages import L2Update, Snapshot
from tests.exchange.client import PRODUCT, type_of
from tests.exchange.market import Market, market
from tests.exchange.prepared import PreparedMarket
from tests.exchange.trades import Trade
from tests.support.oracle import Oracle
from tests.support.tape import Tape


def random_or_prepared(product: str, prepared: int) -> Market:
    """A product's random market, or one that goes to and fro over prepared updates."""
    return market(product, 1, kind=PreparedMarket, prepared=prepared) if prepared else market(product, 1)


def moves(moving: Market, updates: int) -> Iterator[bytes]:
    """So many updates of a market, each behind the trades that it covers."""
    for _ in range(updates):
        yield from moving.matches()
        yield moving.update()


def test_seed() -> None:
    """Equal arguments give equal frames, byte by byte; another seed gives others."""
    frames = [
        [made.snapshot(), made.last_match(), *moves(made, 50), made.heartbeat(), made.match()]
        for made in (market("ETH-EUR", seed, clock=lambda: 1.75) for seed in (1, 1, 2))
    ]
    assert frames[0] == frames[1] != frames[2]


@pytest.mark.parametrize("prepared", [0, 400])
@pytest.mark.parametrize("product", ["BTC-EUR", "ETH-EUR", PRODUCT])
def test_long_run(product: str, prepared: int) -> None:
    """The book is what its frames make, never crossed, keeps its size; its top moves, its spread varies."""
    moving = random_or_prepared(product, prepared)
    oracle = Oracle(product)
    oracle.apply(moving.snapshot())
    began = len(oracle.bids), len(oracle.asks)
    spreads, bids = [], set()
    for frame in moves(moving, 3_000):
        if type_of(frame) == "match":
            continue
        top = oracle.judge(frame)
        assert top is not None and top[:4] == moving.best()
        spreads.append(top.spread / top.ask_price)
        bids.add(top.bid_price)
    assert moving.book() == (oracle.bids, oracle.asks)
    for levels, first in zip((oracle.bids, oracle.asks), began, strict=True):
        assert 0.85 * first < len(levels) < 1.15 * first
    assert len(bids) > 50
    assert 0.02 < sum(spread > 0.0001 for spread in spreads) / len(spreads) < 0.98


@pytest.mark.parametrize("prepared", [0, 400])
@pytest.mark.parametrize("product", ["BTC-EUR", PRODUCT])
def test_trades(product: str, prepared: int) -> None:
    """Ids have no holes, heartbeats have the last one, and updates cover the trades before them."""
    moving, tape = random_or_prepared(product, prepared), Tape(product)
    for frame in (moving.snapshot(), moving.last_match(), moving.heartbeat()):
        tape.judge(frame)
    for _ in range(300):
        for frame in [*moves(moving, 10), moving.heartbeat()]:
            tape.judge(frame)
    assert tape.covering > 200
    assert tape.trades == moving.trades()
    assert {side for _id, side, _price, _size in tape.trades} == {"buy", "sell"}


@pytest.mark.parametrize("prepared", [0, 5])
def test_one_trade_more(prepared: int) -> None:
    """Trades that are asked for take from the best level, until it is gone; the next update covers them."""
    moving, tape = random_or_prepared(PRODUCT, prepared), Tape(PRODUCT)
    moving.update()
    tape.judge(moving.snapshot())
    tape.judge(moving.last_match())
    for _ in range(200):
        bid, bid_size, ask, ask_size = moving.best()
        tape.judge(moving.match())
        _id, side, price, size = tape.trades[-1]
        assert (price, size <= bid_size) == (bid, True) if side == "buy" else (ask, size <= ask_size)
        for frame in moves(moving, 2):
            tape.judge(frame)
    assert moving.book() == (tape.oracle.bids, tape.oracle.asks)
    assert tape.trades == moving.trades()


def test_trades_of_the_real_feed(capture: Path) -> None:
    """What is asked of the market's trades holds for those of a real minute."""
    tapes = {product: Tape(product) for product in ("BTC-USD", "ETH-USD")}
    for frame in capture.read_bytes().splitlines()[1:]:
        tapes[json.loads(frame)["product_id"]].judge(frame)
    assert sum(len(tape.trades) for tape in tapes.values()) == 435
    assert sum(tape.heartbeats for tape in tapes.values()) == 118


@pytest.mark.parametrize("changes", [1, 10, 22, 1_000])
def test_changes_an_update(changes: int) -> None:
    """An update has as many changes as asked for, and the book is what they make of it."""
    moving, oracle = market(PRODUCT, 1), Oracle(PRODUCT)
    oracle.apply(moving.snapshot())
    for _ in range(100):
        frame = moving.update(changes)
        assert len(json.loads(frame)["changes"]) == changes
        assert oracle.judge(frame) is not None
    assert moving.book() == (oracle.bids, oracle.asks)
    assert len(json.loads(market(PRODUCT, 1, changes=changes).update())["changes"]) == changes


class Shape:
    """The figures of a stream of frames that a market should share with the real feed."""

    def __init__(self, frames: list[bytes]) -> None:
        self.changes: list[int] = []
        self.moves = self.trades = self.covering = 0
        books: dict[str, OrderBookState] = {}
        tops: dict[str, tuple[float, float]] = {}
        self.ordered = True
        self.what: Counter[str] = Counter()
        present: dict[str, set[tuple[str, float]]] = {}
        traded: set[str] = set()  # since the last update
        for frame in frames:
            message = json.loads(frame)
            if message["type"] == "match":
                self.trades += 1
                traded.add(message["product_id"])
            if message["type"] == "snapshot":
                sides = (("buy", message["bids"]), ("sell", message["asks"]))
                present[message["product_id"]] = {(side, float(p)) for side, book in sides for p, _ in book}
            if message["type"] not in ("snapshot", "l2update"):
                continue
            book = books.setdefault(message["product_id"], OrderBookState())
            book.update(cast(Snapshot | L2Update, decode(frame)))
            summary = book.summarize()
            assert isinstance(summary, OrderBookSummary)
            top = summary.bid_price, summary.ask_price
            self.moves += tops.setdefault(message["product_id"], top) != top
            tops[message["product_id"]] = top
            if message["type"] == "snapshot":
                continue
            self.changes.append(len(message["changes"]))
            self.covering += message["product_id"] in traded
            traded.discard(message["product_id"])
            self.ordered &= message["changes"] == sorted(message["changes"], key=lambda change: change[0])
            levels = present[message["product_id"]]
            for side, price, size in message["changes"]:
                level = side, float(price)
                gone = float(size) == 0
                self.what["delete" if gone else "set"] += 1
                self.what["absent"] += gone and level not in levels
                (levels.discard if gone else levels.add)(level)

    @property
    def mean(self) -> float:
        """Changes an update."""
        return sum(self.changes) / len(self.changes)

    @property
    def moving(self) -> float:
        """The share of the updates that move the best bid or ask."""
        return self.moves / len(self.changes)

    @property
    def trading(self) -> float:
        """Trades an update."""
        return self.trades / len(self.changes)

    @property
    def bunches(self) -> float:
        """The share of the updates that cover trades."""
        return self.covering / len(self.changes)

    @property
    def absent(self) -> float:
        """The share of the deletes that name no level."""
        return self.what["absent"] / self.what["delete"]

    @property
    def deletes(self) -> float:
        """The share of the changes that are deletes."""
        return self.what["delete"] / (self.what["delete"] + self.what["set"])


def test_updates_look_like_the_real_ones(capture: Path) -> None:
    """Changes and trades an update, moves of the top, deletes, order of the sides, as in a real minute."""
    frames = []
    for product in ("BTC-USD", "ETH-USD"):
        moving: Market = market(product, 1)
        frames += [moving.snapshot(), *moves(moving, 1_000)]
    made, real = Shape(frames), Shape(capture.read_bytes().splitlines())
    assert made.ordered and real.ordered
    assert made.mean == pytest.approx(real.mean, rel=0.2)
    assert max(made.changes) <= max(real.changes)
    assert made.trading == pytest.approx(real.trading, rel=0.2)
    assert made.bunches == pytest.approx(real.bunches, rel=0.2)
    assert real.moving / 3 < made.moving < 3 * real.moving
    assert made.deletes == pytest.approx(real.deletes, abs=0.1)
    assert made.absent == pytest.approx(real.absent, abs=0.06)


def test_a_prepared_market_passes_the_same_books_again() -> None:
    """After a whole circle the book and the trades are as before; each update has the time of the moment."""
    moving = market(PRODUCT, 1, clock=iter(range(1_000)).__next__, kind=PreparedMarket, prepared=30)
    books, times = [], []
    traded: list[list[Trade]] = []
    for _ in range(120):
        books.append(moving.book())
        before = len(moving.trades())
        moving.matches()
        traded.append([trade._replace(id=0) for trade in moving.trades()[before:]])
        times.append(json.loads(moving.update())["time"])
    assert any(traded[:30]) and any(traded[30:60]) and traded[:60] == traded[60:]
    assert books[:60] == books[60:] and books[1:30] == books[59:30:-1]
    assert books.count(books[0]) == 2 and times == sorted(set(times))


@pytest.mark.parametrize("prepared", [0, 5])
def test_leap(prepared: int) -> None:
    """A book without a leap's first part stays crossed for hundreds of updates; the true one never is."""
    for steps in range(10):
        moving = random_or_prepared(PRODUCT, prepared)
        list(moves(moving, steps))
        right, wrong = Oracle(PRODUCT), Oracle(PRODUCT)
        for oracle in (right, wrong):
            oracle.apply(moving.snapshot())
        first, second = moving.leap()
        assert right.apply(first) and right.apply(second) and wrong.apply(second) is None
        for frame in moves(moving, 200):
            if type_of(frame) == "l2update":
                assert right.judge(frame) is not None and wrong.judge(frame) is None
