"""Rows of the datasets, beside a naive computation of them, and by hand."""

import copy
import json
import math
import pickle
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow import mapper
from orderbook.book import OrderBookState
from orderbook.coinbase.messages import (
    Change,
    Heartbeat,
    L2Update,
    LastTrade,
    Level,
    Message,
    Snapshot,
    Status,
    Trade,
)
from orderbook.output.datasets import COMMON, EXCHANGE, Rows, dataset
from orderbook.output.intervals import BookSnapshots, delay
from orderbook.output.rows import BookAndRows, with_rows
from orderbook.recording.line import decode_line
from tests.exchange.market import market
from tests.support import naive_rows
from tests.support.naive_rows import Row

PRODUCT, FIRST, LATER = "ABC-EUR", "BTC-USD", "ETH-EUR"  # book snapshots of the second are made at once
BEGIN = 1_795_528_800_000_000_000  # 2026-11-24T14:00:00Z, in nanoseconds since 1970
MS, SECOND = 1_000_000, 1_000_000_000

NAMES = (
    *("quotes", "incremental_book_L2", "trades", "wide_spreads", "status"),
    *("book_snapshot_25_1s", "book_snapshot_1_100ms", "signals_1s", "signals_1m"),
)
EXACT = ("mid", "spread")  # of the signals; the others are sums and quotients


class Maker:
    """What is under test, fed with one product's messages."""

    def __init__(self, names: Iterable[str] = NAMES, min_spread: str = "0.0001") -> None:
        datasets = [dataset(name) for name in names]
        self.step = with_rows(mapper, datasets, float(min_spread))
        self.state: BookAndRows | None = None
        self.rows: dict[str, list[Row]] = {each.name: [] for each in datasets}

    def feed(self, messages: Iterable[Message]) -> "Maker":
        for message in messages:
            self.state, answer = self.step(self.state, message)
            for rows in answer.rows:
                assert rows.values, "no row"
                self.rows[rows.dataset.name] += as_dicts(rows)
        return self

    def with_state(self, state: BookAndRows | None) -> "Maker":
        """One that has made the same rows, and goes on from a state."""
        twin = copy.copy(self)
        twin.state, twin.rows = state, {name: [*rows] for name, rows in self.rows.items()}
        return twin


def decoded(lines: Iterable[bytes]) -> Iterable[Message]:
    """The messages of a recording's lines."""
    for line in lines:
        message = decode_line(line)
        assert isinstance(message, Message)
        yield message


def as_dicts(rows: Rows) -> list[Row]:
    """Rows with the names of their columns."""
    names = [column.name for column in (*COMMON, *rows.dataset.columns)]
    common = EXCHANGE, rows.symbol, rows.timestamp, rows.local_timestamp
    return [dict(zip(names, (*common, *values), strict=True)) for values in rows.values]


def judge(lines: list[bytes], min_spread: str) -> dict[str, list[Row]]:
    """Assert that the rows are those of the naive computation; return them."""
    made = Maker(min_spread=min_spread).feed(decoded(lines)).rows
    expected = naive_rows.rows(lines, NAMES, min_spread)
    for name in NAMES:
        for place, (row, naive) in enumerate(zip(made[name], expected[name], strict=False)):
            assert [*row] == [*naive], (name, place)
            wrong = {
                column: (value, naive[column])
                for column, value in row.items()
                if not is_same(name, column, value, naive[column])
            }
            assert not wrong, (name, place, row)
        assert len(made[name]) == len(expected[name]), name
    return made


def is_same(name: str, column: str, value: object, naive: object) -> bool:
    """Whether two values are one, the floats of a sum or quotient by their first nine digits."""
    is_sum = (name.startswith("signals") and column not in EXACT) or column.endswith("_bps")
    if is_sum and isinstance(value, float) and isinstance(naive, float):
        return math.isclose(value, naive, rel_tol=1e-9, abs_tol=1e-9)
    return type(value) is type(naive) and value == naive


# Beside the naive computation.


@pytest.mark.parametrize("product_id", ["BTC-USD", "ETH-USD"])
def test_capture(capture: Path, product_id: str) -> None:
    """The rows of a minute of the real feed are those of a naive computation from the file itself."""
    lines = [
        line for line in capture.read_bytes().splitlines() if json.loads(line).get("product_id") == product_id
    ]
    made = judge(lines, "0.00001")
    least = {"quotes": 150, "incremental_book_L2": 25_000, "trades": 90, "wide_spreads": 2, "status": 1}
    least |= {"book_snapshot_25_1s": 55, "book_snapshot_1_100ms": 60, "signals_1s": 58, "signals_1m": 1}
    assert all(len(made[name]) >= number for name, number in least.items()), {
        name: len(rows) for name, rows in made.items()
    }


@pytest.mark.parametrize("seed", range(3))
def test_market(seed: int) -> None:
    """The rows of minutes of a lively market are those of a naive computation, though all goes wrong in it.

    Streams break off, connections are renewed and repeat what was, updates are lost so that the book is
    crossed, and the clock is set back.
    """
    made = judge(list(market_lines(seed)), "0.01")
    assert all(made[name] for name in NAMES), {name: len(rows) for name, rows in made.items()}
    events = {row["event"] for row in made["status"]}
    assert events == {"live", "stale", "crossed"}


def market_lines(seed: int) -> Iterable[bytes]:
    """The lines of a product's recording."""
    random = Random(seed)
    now = BEGIN
    sold = market(PRODUCT, seed, clock=lambda: now / SECOND, spread_ticks=400, levels=60 + 300 * seed)

    def line(frame: bytes) -> bytes:
        return b"%d %b" % (now + random.randrange(10 * MS, 40 * MS), frame)

    def status() -> bytes:
        return line(b'{"type":"disconnect","product_id":"%b","reason":"stale: no frame"}' % PRODUCT.encode())

    yield line(sold.match())
    yield line(sold.snapshot())
    repeated: list[bytes] = []
    for number in range(800):
        now += random.choice([1, 20, 60, 60, 60, 300]) * MS
        what = random.random()
        if what < 0.1:
            yield line(sold.match())
        elif what < 0.2:
            yield line(sold.heartbeat())
        elif what < 0.22:
            yield from (status(), line(sold.update()), line(sold.snapshot()))
        elif what < 0.23:
            yield line(sold.snapshot())
        elif what < 0.24:  # a connection is renewed: its snapshot and first updates are older
            older = sold.snapshot()
            repeated = [sold.update() for _ in range(9)]
            yield from map(line, repeated)
            now += 500 * MS
            yield from map(line, (older, *repeated, sold.update()))
        elif what < 0.25:
            _lost, second = sold.leap()
            yield from (line(second), line(sold.heartbeat()))
        else:
            yield line(sold.update())
        if number == 400:
            now -= 400 * SECOND


# Few prices, so that changes often meet the same level; "100" is on both sides, so a book may be locked.
LOW = ("60", "97", "99.5", "99.89", "99.9", "99.96", "99.97", "99.98", "100")
HIGH = ("100", "100.01", "100.02", "100.1", "100.2", "100.5", "101", "140")
SIZES = ("0", "0", "0.5", "1.25000000", "3e-8", "2", "7e1", "99.7", "990", "12")
TYPES = ("heartbeat", "last_match", "match")
STALE = {"type": "disconnect", "product_id": PRODUCT, "reason": "stale: no frame: for 5 s"}


def levels(prices: tuple[str, ...]) -> st.SearchStrategy[list[list[str]]]:
    one = st.tuples(st.sampled_from(prices), st.sampled_from(SIZES)).map(list)
    return st.lists(one, max_size=6)


def snapshots(bids: tuple[str, ...], asks: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda bids, asks: {"type": "snapshot", "product_id": PRODUCT, "bids": bids, "asks": asks},
        levels(bids),
        levels(asks),
    )


def updates(bids: tuple[str, ...], asks: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda buys, sells: {
            "type": "l2update",
            "product_id": PRODUCT,
            "changes": [["buy", *level] for level in buys] + [["sell", *level] for level in sells],
        },
        levels(bids),
        levels(asks),
    )


def trade(kind: str, side: str) -> dict[str, Any]:
    return {
        "type": kind,
        "product_id": PRODUCT,
        "trade_id": 7,
        "side": side,
        "price": "100.010",
        "size": "0.30",
    }


FRAMES = st.one_of(
    updates(LOW[:-1], HIGH),
    updates(LOW[:-1], HIGH),
    updates(LOW[:-1], HIGH),
    snapshots(LOW[:-1], HIGH),
    snapshots(LOW[:-1], HIGH),
    updates(LOW + HIGH, LOW + HIGH),
    snapshots(LOW, HIGH),
    st.builds(trade, st.sampled_from(TYPES[1:]), st.sampled_from(["buy", "sell"])),
    st.just({"type": "heartbeat", "product_id": PRODUCT}),
    st.just(STALE),
)
STEPS = tuple(
    SECOND // 1_000 * step for step in (0, 0, 1, 40, 40, 300, 700, 1_000, 3_500, 61_000, -90, -800, -120_000)
)
AGES = tuple(
    MS * age for age in (20, 20, 20, 20, 500, 2_500, -50, 61_000, 7_200_000, -7_200_000)
)  # of `time`
ODD_TIMES = (None, "0001-01-01T00:00:00.000000Z")


@st.composite
def recordings(draw: st.DrawFn) -> list[bytes]:
    """Lines of a recording: any frames, arrivals that jump or are missing, times that are odd or missing."""
    arrivals = draw(st.sampled_from([(True,), (False,), (True, True, False)]))
    lines, now = [], BEGIN + draw(st.sampled_from([0, 999])) * MS
    for frame in draw(st.lists(FRAMES, min_size=5, max_size=30)):
        now += draw(st.sampled_from(STEPS))
        age = draw(st.sampled_from((*AGES, *ODD_TIMES)))
        sent = iso(now - age) if isinstance(age, int) else age
        text = json.dumps(frame if sent is None else frame | {"time": sent}, separators=(",", ":"))
        lines.append(b"%d %b" % (now, text.encode()) if draw(st.sampled_from(arrivals)) else text.encode())
    return lines


def iso(nanoseconds: int) -> str:
    """A time as the exchange spells it."""
    second, rest = divmod(nanoseconds, SECOND)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000:06}Z"


@given(recordings(), st.sampled_from(["0", "0.0001", "0.02"]))
def test_any_messages(lines: list[bytes], min_spread: str) -> None:
    """Whatever comes, and whenever, the rows are those of a naive computation."""
    judge(lines, min_spread)


# By hand. `at` is the arrival in seconds since BEGIN, `sent` the exchange's time, as a rule 20 ms before.


def snapshot(at: float, bid: str, ask: str, sent: float | None = None) -> Snapshot:
    """A snapshot of a level a side, as `99 × 1`; none where the text is empty."""
    bids, asks = ([Level(*map(float, side.split(" × ")))] if side else [] for side in (bid, ask))
    return Snapshot(FIRST, bids, asks, *times(at, sent))


def update(at: float, *changes: str, sent: float | None = None) -> L2Update:
    """An update of changes such as `buy 99 × 0`."""
    parsed = []
    for change in changes:
        side, _, level = change.partition(" ")
        parsed.append(Change("buy" if side == "buy" else "sell", *map(float, level.split(" × "))))
    return L2Update(FIRST, parsed, *times(at, sent))


def heartbeat(at: float, product: str = FIRST) -> Heartbeat:
    return Heartbeat(product, iso(BEGIN + round(at * SECOND)), None, BEGIN + round(at * SECOND))


def status(at: float, reason: str = "stale: no frame for 5 s") -> Status:
    return Status(FIRST, reason, BEGIN + round(at * SECOND))


def times(at: float, sent: float | None) -> tuple[str, int]:
    return iso(BEGIN + round((at - 0.02 if sent is None else sent) * SECOND)), BEGIN + round(at * SECOND)


def made(name: str, *messages: Message, min_spread: str = "0.01") -> list[Row]:
    """The rows of one dataset; in the place of times seconds since BEGIN, and without what all rows share."""
    rows = Maker([name], min_spread).feed(messages).rows[name]
    for row in rows:
        assert (row.pop("exchange"), row.pop("symbol")) == (EXCHANGE, FIRST)
        for column in row.keys() & {"timestamp", "local_timestamp", "began", "ended"}:
            row[column] = None if row[column] is None else (row[column] - BEGIN // 1_000) / 1_000_000
    return rows


def column(rows: list[Row], *names: str) -> list[Any]:
    return [tuple(row[name] for name in names) if len(names) > 1 else row[names[0]] for row in rows]


def test_first_message_behind_an_interval_brings_its_row() -> None:
    """The row is of the book before that message, with the times of the message that changed it last."""
    rows = made(
        "book_snapshot_1_1s",
        snapshot(0.2, "99 × 1", "101 × 1"),
        update(0.9, "buy 99 × 2"),  # the first interval has not passed
        update(1.0, "buy 99 × 3"),  # at the boundary
        update(1.5, "buy 99 × 4"),
        update(4.5, "buy 99 × 5"),  # several intervals have passed
        heartbeat(5.1),
        heartbeat(6.1),  # nothing has changed
        update(6.2, "buy 98 × 1"),
        heartbeat(7.0),  # nor has the best level
    )
    assert column(rows, "timestamp", "local_timestamp", "bids[0].amount") == [
        (0.88, 0.9, 2.0),
        (1.48, 1.5, 4.0),
        (4.48, 4.5, 5.0),
    ]


def test_intervals_pass_by_arrival() -> None:
    """A message is of the interval in which it came, whatever the exchange's time of it."""
    rows = made(
        "book_snapshot_1_1s",
        snapshot(0.2, "99 × 1", "101 × 1"),
        update(1.1, "buy 99 × 2", sent=0.9),
        update(1.2, "buy 99 × 3", sent=5.0),
        heartbeat(2.0),
    )
    assert column(rows, "timestamp", "local_timestamp", "bids[0].amount") == [
        (0.18, 0.2, 1.0),
        (5.0, 1.2, 3.0),
    ]


def test_arrivals_that_go_back() -> None:
    """What comes late ends no interval anew; where the clock was set back, intervals go on from there."""
    updates = [(100.5, 1), (101.5, 2), (100.9, 3), (101.9, 4), (102.1, 5), (0.1, 6), (0.5, 7), (1.1, 8)]
    rows = made(
        "book_snapshot_1_1s",
        snapshot(100.1, "99 × 9", "101 × 1"),
        *(update(at, f"buy 99 × {size}") for at, size in updates),
    )
    assert column(rows, "bids[0].amount") == [1.0, 4.0, 5.0, 7.0]


@pytest.mark.parametrize(
    "breaks", [snapshot(2.2, "97 × 1", "103 × 1"), status(2.2)], ids=["snapshot", "status"]
)
def test_book_snapshot_waits_for_its_turn(breaks: Message) -> None:
    """It is of the book at the interval's end, though made in its product's turn, or at a break."""
    begin: list[Message] = [
        snapshot(0.1, "99 × 1", "101 × 1"),
        update(1.1, "buy 99 × 2"),
        update(1.2, "buy 98 × 3"),
    ]
    assert delay(LATER, SECOND) == SECOND // 4
    maker = BookSnapshots(dataset("book_snapshot_2_1s"))
    made = []
    book = OrderBookState()
    for message in [*begin, heartbeat(1.249), heartbeat(1.25)]:
        message.product_id = LATER
        made.append([rows.values for rows in maker.due(message, book)])
        book.update(message)
    row = (101.0, 1.0, 99.0, 1.0, None, None, None, None)
    assert made == [[], [], [], [], [[row]]]
    assert [rows.values for rows in maker.due(heartbeat(2.1, LATER), book)] == []
    [rows] = maker.due(breaks, book)
    assert rows.values == [(101.0, 1.0, 99.0, 2.0, None, None, 98.0, 3.0)]


def test_levels_that_are_none() -> None:
    """A book snapshot of more levels than there are has None in their place."""
    rows = made(
        "book_snapshot_2_1s",
        snapshot(0.2, "99 × 1", "101 × 1"),
        update(0.3, "sell 102 × 7"),
        heartbeat(1.0),
    )
    assert column(rows, "asks[1].price", "asks[1].amount", "bids[1].price", "bids[1].amount") == [
        (102.0, 7.0, None, None)
    ]


NOT_QUOTED: list[list[Message]] = [
    [status(1), update(2, "buy 99 × 2")],
    [update(1, "buy 101 × 2"), heartbeat(2)],  # locked
    [update(1, "buy 102 × 2"), heartbeat(2)],
    [update(1, "buy 99 × 0"), heartbeat(2)],
    [snapshot(1, "", "101 × 1"), heartbeat(2)],
    [snapshot(1, "99 × 4", "101 × 1", sent=0.05), update(2, "buy 99 × 5", sent=0.06), heartbeat(3)],
]


@pytest.mark.parametrize(
    "messages", NOT_QUOTED, ids=["broken", "locked", "crossed", "no bid", "no bids", "older"]
)
def test_no_row_of_a_book_that_has_no_summary(messages: list[Message]) -> None:
    """A book that is not live, crossed, one-sided, or repeats what it was, has no quote and no interval."""
    live = snapshot(0.1, "99 × 1", "101 × 1")
    assert column(made("quotes", live, *messages), "bid_amount") == [1.0]
    for name in ("book_snapshot_1_1s", "signals_1s"):
        local_timestamps = column(made(name, live, *messages), "local_timestamp")
        assert local_timestamps == [0.1]  # of the interval before


def test_all_begins_anew_behind_a_break() -> None:
    """Behind a break the same top is a quote, and the same levels a book snapshot, once more."""
    again: list[Message] = [
        snapshot(0.1, "99 × 1", "101 × 1"),
        heartbeat(1.0),
        snapshot(1.1, "99 × 1", "101 × 1"),  # no break
        heartbeat(2.0),
        status(2.1),
        snapshot(2.2, "99 × 1", "101 × 1"),
        heartbeat(3.0),
    ]
    assert column(made("quotes", *again), "local_timestamp") == [0.1, 2.2]
    assert column(made("book_snapshot_1_1s", *again), "local_timestamp") == [0.1, 2.2]


def test_order_flow_spans_no_break_and_no_snapshot() -> None:
    """The flow of an interval is that of its changes, and of nothing that lies between two streams."""
    rows = made(
        "signals_1s",
        snapshot(0.1, "99 × 1", "101 × 1"),
        update(0.2, "buy 99 × 4"),  # +3
        update(0.3, "sell 100 × 2"),  # −2
        heartbeat(1.0),
        update(1.1, "buy 99 × 3"),  # −1
        snapshot(1.2, "98 × 7", "101 × 5"),
        update(1.3, "buy 98 × 9"),  # +2
        heartbeat(2.0),
        update(2.1, "buy 98 × 9.5"),  # +0.5
        status(2.2),
        snapshot(2.3, "97 × 1", "101 × 5"),
        update(2.4, "buy 97 × 2"),  # +1
        heartbeat(3.0),
        snapshot(3.1, "97 × 1", "101 × 5", sent=2.3),  # a renewed connection
        update(3.2, "buy 97 × 2", sent=2.38),
        update(3.3, "buy 97 × 6", sent=3.2),  # +4
        heartbeat(4.0),
        heartbeat(5.0),
    )
    assert column(rows, "ofi") == [1.0, 1.0, 1.5, 4.0, 0.0]


def test_signals_of_a_very_wide_spread() -> None:
    """Where no level is within 1 % of the mid, the depth is 0; what the book can't fill has no slippage."""
    [row] = made("signals_1s", snapshot(0.1, "90 × 1", "110 × 200"), heartbeat(1.0))
    del row["timestamp"], row["local_timestamp"]
    assert row == {
        "mid": 100.0,
        "spread": 20.0,
        "spread_bps": 2000.0,
        "weighted_mid": pytest.approx(90 + 20 / 201),
        "ofi": 0.0,
        **{f"imbalance_{levels}": pytest.approx(-199 / 201) for levels in (1, 5, 25)},
        **{f"{side}_depth_{bps}bps": 0.0 for bps in (10, 50, 100) for side in ("bid", "ask")},
        **{f"{side}_slippage_bps_{amount}": None for amount in (10_000, 100_000) for side in ("buy", "sell")},
        "buy_slippage_bps_10000": pytest.approx(1000.0),
    }


def test_incremental_rows_are_what_a_reader_needs_to_keep_the_book() -> None:
    """Levels of a snapshot, then changes, also of a crossed book and of one that repeats."""
    rows = made(
        "incremental_book_L2",
        update(0.1, "buy 99 × 1"),
        snapshot(0.2, "99 × 1", "101 × 1"),
        update(0.3, "buy 102 × 2", "buy 98 × 0"),
        update(0.4),
        snapshot(0.5, "99 × 1", "101 × 1", sent=0.1),
        update(0.6, "sell 101 × 3", sent=0.2),
        status(0.7),
        update(0.8, "sell 101 × 4"),
    )
    assert column(rows, "local_timestamp", "is_snapshot", "side", "price", "amount") == [
        (0.2, True, "bid", 99.0, 1.0),
        (0.2, True, "ask", 101.0, 1.0),
        (0.3, False, "bid", 102.0, 2.0),
        (0.3, False, "bid", 98.0, 0.0),
        (0.5, True, "bid", 99.0, 1.0),
        (0.5, True, "ask", 101.0, 1.0),
        (0.6, False, "ask", 101.0, 3.0),
    ]


def test_trades_are_rows_whatever_the_book_is() -> None:
    """A trade is a row, with the taker's side, also before a snapshot and while the book is crossed.

    The last trade before a subscription is none: it came before, or is of a time that is not recorded.
    """
    trade = Trade(FIRST, 5, "buy", 99.0, 0.5, *times(0.1, None))
    last = LastTrade(FIRST, 4, "buy", 99.0, 0.5, *times(0.1, None))
    rows = made("trades", last, trade, snapshot(0.2, "99 × 1", "98 × 1"), trade, status(0.3), trade)
    assert (
        rows
        == [
            {
                "timestamp": 0.08,
                "local_timestamp": 0.1,
                "id": "5",
                "side": "sell",
                "price": 99.0,
                "amount": 0.5,
            }
        ]
        * 3
    )


def test_states() -> None:
    """A row when a product goes live, is crossed, is crossed no more, and for each break."""
    rows = made(
        "status",
        status(0.1, "refused: the exchange answers: no"),
        update(0.2, "buy 102 × 1"),
        snapshot(0.3, "99 × 1", "101 × 1"),
        snapshot(0.4, "99 × 1", "101 × 1"),
        update(0.5, "buy 101 × 1"),
        update(0.6, "buy 103 × 1"),
        heartbeat(0.7),
        update(0.8, "buy 101 × 0", "buy 103 × 0"),
        status(0.9),
        status(1.0),
        snapshot(1.1, "99 × 1", ""),
    )
    assert column(rows, "local_timestamp", "event", "reason") == [
        (0.1, "refused", "the exchange answers: no"),
        (0.3, "live", "snapshot"),
        (0.5, "crossed", "best bid 101.0, best ask 101.0"),
        (0.8, "live", "crossed no more"),
        (0.9, "stale", "no frame for 5 s"),
        (1.0, "stale", "no frame for 5 s"),
        (1.1, "live", "snapshot"),
    ]


WIDE, WIDER, NARROW = "sell 200 × 1", "sell 150 × 1", "sell 100 × 1"
ENDS: list[tuple[Message, float]] = [
    (update(3, NARROW), 2.0),
    (status(3), 2.0),
    (update(3, "buy 200 × 1"), 2.0),  # crossed
    (update(3, "buy 99 × 0", "buy 98 × 0"), 2.0),
    (update(-5, NARROW), 1.0),  # late
]


@pytest.mark.parametrize(("end", "seconds"), ENDS, ids=["narrow", "broken", "crossed", "no bid", "late"])
def test_wide_stretch(end: Message, seconds: float) -> None:
    """A stretch of wide spreads is one row when it ends, whatever ends it; its mean is by time."""
    rows = made(
        "wide_spreads",
        snapshot(1, "99 × 1", "200 × 1"),  # 5050 bp for 0.5 s
        update(1.5, "sell 150 × 1"),  # 3400 bp
        heartbeat(1.7),
        update(2, "buy 98 × 1"),
        end,
        heartbeat(4),
        status(5),
    )
    [row] = rows
    assert (row["began"], row["ended"], row["seconds"], row["updates"]) == (1.0, 1.0 + seconds, seconds, 3)
    assert row["max_bps"] == pytest.approx(5050)
    assert row["mean_bps"] == pytest.approx((5050 * 0.5 + 3400 * (seconds - 0.5)) / seconds)


def test_wide_stretches_without_times() -> None:
    """Where no time is known, a stretch has none, and its mean is that of its summaries."""
    old: list[Message] = [snapshot(1, "99 × 1", "200 × 1"), update(1, "sell 150 × 1"), status(1)]
    for message in old:
        message.time = message.local_timestamp = None
    [row] = made("wide_spreads", *old)
    assert (row["local_timestamp"], row["began"], row["ended"], row["seconds"], row["updates"]) == (
        *(None, None, None, None),
        2,
    )
    assert row["mean_bps"] == pytest.approx((5050 + 3400) / 2)


def test_a_spread_that_is_the_threshold_is_not_wide() -> None:
    """A stretch begins above the threshold, exactly: 0.01 of 100 is none above 1 bp."""
    narrow, wide = snapshot(1, "99.99 × 1", "100 × 1"), update(2, "buy 99.99 × 0", "buy 99.98 × 1")
    rows = made("wide_spreads", narrow, wide, status(3), min_spread="0.0001")
    assert column(rows, "began", "max_bps") == [(2.0, pytest.approx(2))]


# The state.


def by_pickle(maker: Maker) -> Maker:
    return maker.with_state(pickle.loads(pickle.dumps(maker.state)))


def by_deepcopy(maker: Maker) -> Maker:
    return maker.with_state(copy.deepcopy(maker.state))


@pytest.mark.parametrize("copy_of", [by_deepcopy, by_pickle])
@given(recordings(), st.integers(0, 30))
def test_copies_are_independent(copy_of: Callable[[Maker], Maker], lines: list[bytes], moment: int) -> None:
    """A copy goes on as if it were the only one, at whatever moment it was made, and so does the original."""
    first, rest = [*decoded(lines[:moment])], [*decoded(lines[moment:])]
    other = rest[::-1]
    original = Maker().feed(first)
    twin = copy_of(original)
    for mine, its in zip(rest, other, strict=True):
        original.feed([mine])
        twin.feed([its])
    assert original.rows == Maker().feed(first + rest).rows
    assert twin.rows == Maker().feed(first + other).rows


def test_what_is_not_wanted_is_not_computed() -> None:
    """With trades alone, an update that moves the top costs some calls more than a book without rows."""

    def calls(step: Callable[[Any, Message], tuple[Any, Any]]) -> list[str]:
        state, _ = step(None, snapshot(0.1, "99 × 1", "101 × 1"))
        called: list[str] = []
        sys.setprofile(
            lambda frame, event, _arg: called.append(frame.f_code.co_name) if event == "call" else None
        )
        try:
            step(state, update(99, "buy 100 × 1"))
        finally:
            sys.setprofile(None)
        return called

    without, with_trades = calls(mapper), calls(with_rows(mapper, [dataset("trades")], 0.0001))
    assert sorted([*without, "answer", "update", "rows"]) == sorted(with_trades)
