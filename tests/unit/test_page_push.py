"""What is pushed: rows, books, trades and a status, of views that a test feeds."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from orderbook.coinbase.messages import Heartbeat, Trade
from orderbook.feed.stats import FeedStats
from orderbook.output.datasets import dataset
from orderbook.page.frames import Choice, choice_of
from orderbook.page.push import Board, Viewer
from orderbook.page.totals import quantile
from orderbook.page.views import KEPT_TRADES
from tests.support.views import ARRIVAL, ARRIVED, Fed, snapshot, status, update

NOW = datetime(2026, 9, 21, 14, 13, 21, tzinfo=UTC)
PRICES = ("ask_amount", "ask_price", "bid_price", "bid_amount")
DERIVED = ("spread", "spread_bps", "mid", "imbalance_1")
WHOLE = snapshot("A-B", [(10.0, 1.0), (9.5, 4.0)], [(11.0, 3.0)])


class Seen:
    """What a client sees of a board, at one time."""

    def __init__(self, fed: Fed, **choice: Any) -> None:
        self.board = Board(fed.views, lambda: NOW)
        self.viewer = Viewer()
        self.at = 0.0
        self.choose(**choice)

    def choose(self, **choice: Any) -> None:
        self.viewer.choice = Choice(**choice)

    def frame(self) -> dict[str, Any]:
        """The next frame, of a second later; empty where there is none."""
        self.at += 1.0
        for _ in self.board.make_rows():
            pass
        frame = self.viewer.frame(self.board)
        return json.loads(frame) if frame else {}


def test_row() -> None:
    """A row has what `quotes` has, what is derived of it, and when it was seen."""
    heartbeat = Heartbeat("A-B", "2026-09-21T14:13:20.100000Z", None, ARRIVAL)
    frame = Seen(_fed(WHOLE, update("A-B", "buy", 9.0, 1.0), heartbeat), products=True).frame()
    assert frame["time"] == "2026-09-21T14:13:21.000000Z"
    assert frame["products"] == [
        {
            "exchange": "coinbase",
            "symbol": "A-B",
            "timestamp": ARRIVED,
            "local_timestamp": ARRIVED,
            **dict(zip(PRICES, (3.0, 11.0, 10.0, 1.0), strict=True)),
            **dict(zip(DERIVED, (1.0, 1 / 10.5 * 10_000, 10.5, -0.5), strict=True)),
            "event": "live",
            "reason": "",
            "updates": 1,
            "seen": ARRIVED,
            "lag": 0.023457,
        }
    ]


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (status("A-B", "stale: no frame"), "stale"),
        (update("A-B", "buy", 12.0, 1.0), "crossed"),
        (update("A-B", "sell", 11.0, 0.0), "one-sided"),
    ],
)
def test_no_price_of_a_book_that_is_not_live(message: Any, event: str) -> None:
    """A book that is not live has neither price nor amount in its row, nor a level, nor a number of them."""
    seen = Seen(_fed(WHOLE, message), products=True, book="A-B", levels=5, step=1.0, cost=10.0)
    frame = seen.frame()
    (row,), book = frame["products"], frame["book"]
    assert (row["event"], book["event"]) == (event, event) and row["reason"] == book["reason"] != ""
    assert [row[name] for name in (*PRICES, *DERIVED)] == [None] * 8
    assert book["bids"] == book["asks"] == []
    assert all(book[name] is None for name in ("levels", "depth", "signals", "cost", "timestamp"))


def test_book() -> None:
    """A book has its rows, its depth, the signals by their names, and what an order costs."""
    book = Seen(_fed(WHOLE), book="A-B", levels=1, cost=33.0).frame()["book"]
    assert (book["bids"], book["asks"], book["levels"]) == ([[10.0, 1.0]], [[11.0, 3.0]], [2, 1])
    assert list(book["signals"]) == [column.name for column in dataset("signals_1s").columns[:-1]]
    assert book["signals"]["mid"] == 10.5 and book["signals"]["imbalance_5"] == 0.25
    assert book["depth"]["bids"][-1] == [100, 0.0]
    assert book["cost"] == {"amount": 33.0, "buy": {"average": 11.0, "slippage_bps": 0.5 / 10.5 * 1e4}} | {
        "sell": {
            "average": pytest.approx(33.0 / (1.0 + 23.0 / 9.5)),
            "slippage_bps": pytest.approx((10.5 - 33.0 / (1.0 + 23.0 / 9.5)) / 10.5 * 1e4),
        }
    }
    grouped = Seen(_fed(WHOLE), book="A-B", step=5.0, cost=1e9).frame()["book"]
    assert (grouped["bids"], grouped["asks"]) == ([[10.0, 1.0], [5.0, 4.0]], [[15.0, 3.0]])
    assert grouped["cost"] == {"amount": 1e9, "buy": None, "sell": None}


def test_only_what_is_new_and_asked_for() -> None:
    """A client gets what has changed since its last frame, of what it looks at; nothing else is made."""
    fed = _fed(WHOLE, snapshot("C-D", [(1.0, 1.0)], [(2.0, 1.0)]))
    seen = Seen(fed, products=True)
    assert {row["symbol"] for row in seen.frame()["products"]} == {"A-B", "C-D"}
    assert seen.frame() == {}
    fed.feed(update("C-D", "buy", 1.5, 1.0))
    frame = seen.frame()
    assert [row["symbol"] for row in frame["products"]] == ["C-D"] and "book" not in frame
    seen.choose(book="C-D")
    assert set(seen.frame()) == {"time", "book"}
    fed.feed(update("A-B", "buy", 10.5, 1.0))
    assert seen.frame() == {}
    fed.feed(Heartbeat("C-D"))
    assert seen.frame() == {}
    for levels in (1, 2):
        seen.choose(book="C-D", levels=levels)
        assert len(seen.frame()["book"]["bids"]) == levels
    seen.choose(book="C-D", products=True, pause=True)
    fed.feed(update("C-D", "buy", 1.6, 1.0))
    assert seen.frame() == {}
    seen.choose(book="C-D", products=True)
    assert {row["symbol"] for row in seen.frame()["products"]} == {"A-B", "C-D"}


def test_a_client_that_says_nothing_gets_nothing() -> None:
    """Before a client's first message it gets no frame."""
    board = Board(_fed(WHOLE).views)
    board.count(0.0)
    assert Viewer().frame(board) is None


def test_trades() -> None:
    """The last trades come first, oldest first, then the new ones; another book begins anew."""
    fed = _fed(WHOLE, snapshot("C-D", [(1.0, 1.0)], [(2.0, 1.0)]))
    for number in range(KEPT_TRADES + 1):
        fed.feed(_trade("A-B", number))
    fed.feed(_trade("C-D", 7))
    seen = Seen(fed, book="A-B")
    assert [trade["id"] for trade in seen.frame()["trades"]] == [str(n) for n in range(1, KEPT_TRADES + 1)]
    assert seen.frame() == {}
    fed.feed(_trade("A-B", 99))
    assert seen.frame()["trades"] == [
        {
            "exchange": "coinbase",
            "symbol": "A-B",
            "timestamp": ARRIVED,
            "local_timestamp": ARRIVED,
            "id": "99",
            "side": "sell",
            "price": 10.0,
            "amount": 0.5,
        }
    ]
    for book, ids in (("C-D", ["7"]), ("A-B", [*map(str, range(2, KEPT_TRADES + 1)), "99"])):
        seen.choose(book=book)
        assert [trade["id"] for trade in seen.frame()["trades"]] == ids


def test_a_book_that_there_is_not() -> None:
    """A product that is not there is connecting."""
    book = Seen(Fed(), book="A-B").frame()["book"]
    assert (book["symbol"], book["event"], book["bids"]) == ("A-B", "connecting", [])


def test_a_book_that_repeats_is_not_shown() -> None:
    """While a renewed connection repeats what the last one brought, the newer book stays; then it goes on."""
    fed = _fed(WHOLE, update("A-B", "buy", 10.5, 1.0, "2026-09-21T14:13:20.000000Z"))
    seen = Seen(fed, products=True, book="A-B")
    assert seen.frame()["book"]["bids"][0] == [10.5, 1.0]
    old = snapshot("A-B", [(10.0, 1.0)], [(11.0, 3.0)])
    old.time = "2026-09-21T14:13:19.000000Z"
    fed.feed(old)
    frame = seen.frame()
    assert "book" not in frame
    assert (frame["products"][0]["bid_price"], frame["products"][0]["seen"]) == (10.5, ARRIVED)  # it is heard
    fed.feed(update("A-B", "buy", 10.6, 1.0, "2026-09-21T14:13:20.500000Z"))
    frame = seen.frame()
    assert frame["book"]["bids"][0] == [10.6, 1.0] and frame["products"][0]["bid_price"] == 10.6


def test_a_book_that_is_crossed_while_it_repeats() -> None:
    """A book that is no longer live has no price, also while it repeats what it was."""
    fed = _fed(WHOLE, update("A-B", "buy", 10.5, 1.0, "2026-09-21T14:13:20.000000Z"))
    seen = Seen(fed, products=True, book="A-B")
    assert seen.frame()["book"]["event"] == "live"
    crossed = snapshot("A-B", [(12.0, 1.0)], [(11.0, 3.0)])
    crossed.time = "2026-09-21T14:13:19.000000Z"
    fed.feed(crossed)
    frame = seen.frame()
    assert (frame["book"]["event"], frame["products"][0]["event"]) == ("crossed", "crossed")
    assert (frame["book"]["bids"], frame["products"][0]["bid_price"]) == ([], None)


def test_rows_that_nobody_has_looked_at() -> None:
    """Whoever comes after a while in which nobody looked gets rows of now."""
    fed = _fed(WHOLE, update("A-B", "buy", 10.5, 1.0, "2026-09-21T14:13:20.000000Z"))
    seen = Seen(fed, products=True)
    assert seen.frame()["products"][0]["bid_price"] == 10.5
    seen.board.forget_rows()
    fed.feed(update("A-B", "buy", 10.7, 1.0, "2026-09-21T14:13:20.100000Z"))
    again = snapshot("A-B", [(10.7, 1.0)], [(11.0, 3.0)])
    again.time = "2026-09-21T14:13:20.100000Z"
    fed.feed(again)
    assert seen.frame()["products"][0]["bid_price"] == 10.7


def test_frames_that_nobody_looks_at() -> None:
    """What was made for a choice that is none any more is forgotten, though the book stands still."""
    seen = Seen(_fed(WHOLE), book="A-B")
    for cost in range(1, 100):
        seen.choose(book="A-B", cost=cost)
        seen.frame()
        seen.board.keep([seen.viewer.choice])
    assert len(seen.board._copies["A-B"]._frames) == 1


def test_status() -> None:
    """The status adds up what feeds and views count, once a second, and goes to each client once."""
    feeds = {symbol: FeedStats() for symbol in ("A-B", "C-D")}
    for feed in feeds.values():
        feed.connects, feed.missing_trades = 2, 3
        feed.resyncs.update(stale=1, refresh=5)
    fed = Fed(feeds)
    fed.feed(status("C-D", "gap: x"), WHOLE)
    seen = Seen(fed, products=False)
    seen.board.count(0.0)
    counted = {"kind": "live", "live": 1, "products": 2, "connects": 4, "resyncs": 2, "gaps": 1}
    counted |= {"ended": False}
    none = {"lag_p50": None, "lag_p99": None}
    assert seen.frame()["status"] == counted | {"missing_trades": 6} | none
    assert seen.frame() == {}
    feeds["A-B"].observe_lag("2026-09-21T14:13:20.100000Z", ARRIVAL / 1e9)
    seen.board.count(0.9)
    assert seen.frame() == {}
    seen.board.count(1.0)
    assert 0.02 <= seen.frame()["status"]["lag_p50"] <= 0.05
    for second in range(2, 62):
        seen.board.count(float(second))
    assert seen.frame()["status"]["lag_p50"] is None, "a lag of more than a minute ago"
    replay = Board(Fed().views)
    replay.count(0.0)
    assert replay.status and json.loads(bytes(replay.status))["kind"] == "replay"


@pytest.mark.parametrize(
    ("counts", "share", "lag"),
    [
        ([], 0.5, None),
        ([0] * 14, 0.5, None),
        ([100] + [0] * 13, 0.5, 0.0005),
        ([0, 100] + [0] * 12, 0.99, 0.00199),
        ([50, 0, 0, 50] + [0] * 10, 0.75, 0.0075),
        ([0] * 13 + [1], 0.5, 10.0),
    ],
)
def test_quantile(counts: list[int], share: float, lag: float | None) -> None:
    """A quantile lies between the bounds of its bucket; above all bounds it is the last."""
    assert quantile(counts, share) == lag


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "[]", "null", '"x"', "{", '{"levels":0}', '{"levels":201}', '{"levels":1.5}', '{"x":1}'),
        *('{"step":-1}', '{"step":1e-300}', '{"step":1e13}', '{"step":1e999}', '{"cost":-1}', '{"cost":"1"}'),
        *('{"cost":5e-324}', '{"cost":1e300}'),
        *('{"products":1}', '{"book":1}', '{"pause":null}', '{"step":NaN}', f'{{"book":"{"A" * 101}"}}'),
    ],
)
def test_a_message_that_is_no_choice(text: str) -> None:
    """What a client may not say is refused."""
    with pytest.raises(msgspec.DecodeError):
        choice_of(text)


def _fed(*messages: Any) -> Fed:
    fed = Fed()
    for message in messages:
        fed.feed(message)
    return fed


def _trade(symbol: str, number: int) -> Trade:
    return Trade(symbol, number, "buy", 10.0, 0.5, None, ARRIVAL)
