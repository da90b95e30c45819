"""Metrics, made by hand of what the parts have counted."""

import time
from collections import Counter
from typing import NoReturn

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from orderbook.book import CrossedBook, OrderBookState, OrderBookSummary, Summary
from orderbook.coinbase.messages import Change, Heartbeat, L2Update, Level, Message, Snapshot, Status
from orderbook.feed.errors import REASONS, FeedError
from orderbook.feed.stats import FeedStats
from orderbook.metrics import Metrics
from orderbook.output.datasets import dataset
from orderbook.output.row_sink import RowSink
from tests.support.scrape import Samples, samples


class Output:
    """An output that has written and dropped so many lines."""

    def __init__(self, lines: int = 0, dropped: int = 0) -> None:
        self.lines = lines
        self.dropped = dropped


def step(state: OrderBookState | None, message: Message) -> tuple[OrderBookState, Summary]:
    """Keep a book, and summarize it after each message."""
    state = state or OrderBookState()
    state.update(message)
    return state, state.summarize()


def shown(metrics: Metrics) -> Samples:
    """What a scrape shows."""
    registry = CollectorRegistry()
    registry.register(metrics)
    return samples(generate_latest(registry).decode())


def test_feeds() -> None:
    """The counts of each feed are shown under its product, also of one that was made after the metrics."""
    feeds: dict[str, FeedStats] = {}
    metrics = Metrics(Output(), feeds)
    for product, factor in (("A-B", 1), ("C-D", 10)):
        feed = feeds[product] = FeedStats()
        feed.frames, feed.bytes, feed.connects = 3 * factor, 500 * factor, 2 * factor
        feed.updates, feed.missing_trades = 7 * factor, 4 * factor
        feed.resyncs["stale"] = factor
        feed.last_frame = time.monotonic() - 100 * factor
    counts = shown(metrics)
    for product, factor in (("A-B", 1), ("C-D", 10)):
        assert counts["orderbook_frames_total", product] == 3 * factor
        assert counts["orderbook_frame_bytes_total", product] == 500 * factor
        assert counts["orderbook_connects_total", product] == 2 * factor
        assert counts["orderbook_updates_total", product] == 7 * factor
        assert counts["orderbook_missing_trades_total", product] == 4 * factor
        assert counts["orderbook_resyncs_total", product, "stale"] == factor
        last_frame = counts["orderbook_last_frame_timestamp_seconds", product]
        assert last_frame == pytest.approx(time.time() - 100 * factor, abs=5)


def test_lines() -> None:
    """The lines on stdout, and those that its reader did not take, are shown, also where there are none."""
    for lines, dropped in ((0, 0), (9, 7)):
        counts = shown(Metrics(Output(lines, dropped)))
        assert counts["orderbook_lines_total",] == lines
        assert counts["orderbook_lines_dropped_total",] == dropped


def test_a_run_without_lines() -> None:
    """A run whose stdout is another's shows no lines."""
    metrics = Metrics()
    assert not any(name.startswith("orderbook_lines") for name, *_ in shown(metrics))
    assert metrics.summary() == "0 of 0 products live, 0 updates"


def test_reasons() -> None:
    """Each reason for which a subscription is given up is shown from the start, with 0."""
    counts = shown(Metrics(Output(), {"A-B": FeedStats()}))
    reasons = {labels[1] for name, *labels in counts if name == "orderbook_resyncs_total"}
    assert reasons == {"unreachable", "closed", "refused", "stale", "crossed", "bad_frame", "refresh"}
    assert reasons == {kind.reason for kind in FeedError.__subclasses__()} == set(REASONS)
    assert all(counts["orderbook_resyncs_total", "A-B", reason] == 0 for reason in reasons)


def test_lag() -> None:
    """The lags are shown as a histogram, whose buckets count all messages up to their bound."""
    feed = FeedStats()
    for lag in (0.0, 0.03, 2.0, 100.0):
        feed.observe_lag("2026-11-24T12:00:00Z", 1_795_521_600 + lag)
    counts = shown(Metrics(Output(), {"A-B": feed}))
    bounds = ("0.001", "0.02", "0.05", "1.0", "2.0", "10.0", "+Inf")
    # Labels stand in alphabetical order: "le" before "product".
    assert [counts["orderbook_lag_seconds_bucket", bound, "A-B"] for bound in bounds] == [1, 1, 2, 2, 3, 3, 4]
    assert counts["orderbook_lag_seconds_count", "A-B"] == 4
    assert counts["orderbook_lag_seconds_sum", "A-B"] == pytest.approx(102.03)


def test_books() -> None:
    """Levels are those that are live now, crossed is 1 while the book is crossed, and changes add up."""
    metrics = Metrics(Output())
    watched = metrics.watching(step)
    state, _ = watched(
        None, Snapshot("A-B", [Level(1, 1), Level(2, 1), Level(3, 1)], [Level(4, 1), Level(5, 1)])
    )
    state, summary = watched(
        state, L2Update("A-B", [Change("buy", 1, 0), Change("sell", 6, 1), Change("sell", 7, 1)])
    )
    assert (state, summary) == step(state, Heartbeat("A-B"))  # the step's own answer
    counts = shown(metrics)
    assert (counts["orderbook_levels", "A-B", "bid"], counts["orderbook_levels", "A-B", "ask"]) == (2, 4)
    assert (counts["orderbook_changes_total", "A-B"], counts["orderbook_crossed", "A-B"]) == (3, 0)
    state, _ = watched(state, L2Update("A-B", [Change("buy", 4, 1)]))
    watched(state, Heartbeat("A-B"))
    assert shown(metrics)["orderbook_crossed", "A-B"] == 1
    watched(state, L2Update("A-B", [Change("buy", 4, 0)]))
    assert shown(metrics)["orderbook_crossed", "A-B"] == 0


MARKET = ("orderbook_best_bid", "orderbook_best_ask", "orderbook_spread_bps")


def market(metrics: Metrics) -> list[float | None]:
    """Best bid, best ask and spread of A-B, None where one is absent; they come and go together."""
    counts = shown(metrics)
    return [counts.get((name, "A-B")) for name in MARKET]


@pytest.mark.parametrize(
    "message",
    [
        Status("A-B", "closed: by the exchange"),
        L2Update("A-B", [Change("buy", 100.02, 1)]),  # crossed
        L2Update("A-B", [Change("buy", 99.99, 0)]),  # a side is empty
        Snapshot("A-B", [], []),
    ],
    ids=["not live", "crossed", "one side", "empty"],
)
def test_market(message: Message) -> None:
    """The market is shown from the first snapshot on, absent while there is no summary, and comes back."""
    metrics = Metrics()
    watched = metrics.watching(step)
    assert market(metrics) == [None, None, None]
    snapshot = Snapshot("A-B", [Level(99.99, 1)], [Level(100.01, 2)])
    state, _ = watched(None, snapshot)
    assert market(metrics) == [99.99, 100.01, 2.0]
    state, _ = watched(state, message)
    assert market(metrics) == [None, None, None]
    watched(state, snapshot)
    assert market(metrics) == [99.99, 100.01, 2.0]


def test_market_of_a_feed_that_is_not_live() -> None:
    """The market is absent as soon as the feed is not live, though its book has not got to know it yet."""
    feeds = {"A-B": FeedStats()}
    metrics = Metrics(Output(), feeds)
    metrics.watching(step)(None, Snapshot("A-B", [Level(99, 1)], [Level(101, 1)]))
    assert market(metrics) == [None, None, None]
    feeds["A-B"].live = True
    assert market(metrics) == [99, 101, 200]


def test_live() -> None:
    """A product is live, 1 or 0, in a live run as its feed says, in a replay as its book says."""
    feeds = {"A-B": FeedStats(), "C-D": FeedStats()}
    feeds["A-B"].live = True
    running, replayed = Metrics(Output(), feeds), Metrics(Output())
    snapshot = Snapshot("E-F", [Level(1, 1)], [])
    running.watching(step)(None, snapshot)  # the book of a feed in another process, which shows it
    watched = replayed.watching(step)
    state, _ = watched(None, snapshot)

    def live(metrics: Metrics) -> dict[str, float]:
        return {labels[0]: n for (name, *labels), n in shown(metrics).items() if name == "orderbook_live"}

    assert live(running) == {"A-B": 1, "C-D": 0}
    assert live(replayed) == {"E-F": 1}
    watched(state, Status("E-F", "stale: no frame for 5 s"))
    assert live(replayed) == {"E-F": 0}


class Table(RowSink):
    """An output that has written and dropped so many rows."""

    def __init__(self, rows: Counter[str], dropped: Counter[str]) -> None:
        self._rows = rows
        self._dropped = dropped

    @property
    def rows(self) -> Counter[str]:
        return self._rows

    @property
    def dropped(self) -> Counter[str]:
        return self._dropped

    def build(self, step_id: str, worker_index: int, worker_count: int) -> NoReturn:
        raise NotImplementedError


def test_rows() -> None:
    """Rows are shown by dataset and output, those of each that is wanted from the start, at 0."""
    sinks = {
        "files": Table(Counter(quotes=5), Counter(trades=2)),
        "kafka": Table(Counter(), Counter()),
    }
    counts = shown(Metrics(sinks=sinks, datasets=map(dataset, ("quotes", "trades"))))
    rows, dropped = (
        {tuple(labels): n for (name, *labels), n in counts.items() if name == f"orderbook_{what}_total"}
        for what in ("rows", "dropped_rows")
    )
    none = {("quotes", "kafka"): 0, ("trades", "kafka"): 0}
    assert rows == {("quotes", "files"): 5, ("trades", "files"): 0} | none
    assert dropped == {("quotes", "files"): 0, ("trades", "files"): 2} | none


def test_heartbeat_keeps_the_summary() -> None:
    """A heartbeat, whose summary is None, does not hide the spread of its book."""
    metrics = Metrics(Output())

    def quiet(state: OrderBookState | None, message: Message) -> tuple[OrderBookState, Summary]:
        state, summary = step(state, message)
        return state, None if type(message) is Heartbeat else summary

    watched = metrics.watching(quiet)
    state, _ = watched(None, Snapshot("A-B", [Level(99, 1)], [Level(100, 1)]))
    watched(state, Heartbeat("A-B"))
    assert metrics.summary().endswith("widest spread now: A-B, 100.00 bp")


def test_summary() -> None:
    """A summary counts live products, updates and lines since the last one, and names the widest spread."""
    feeds = {product: FeedStats() for product in ("A-B", "C-D", "E-F", "G-H")}
    output = Output(lines=3)
    metrics = Metrics(output, feeds)
    watched = metrics.watching(step)
    for product, bid, ask in (("A-B", 100.0, 101.0), ("C-D", 100.0, 102.0), ("E-F", 100.0, 90.0)):
        feeds[product].live = True
        feeds[product].updates = 7
        _, summary = watched(None, Snapshot(product, [Level(bid, 1)], [Level(ask, 1)]))
        assert type(summary) is (CrossedBook if bid > ask else OrderBookSummary)
    assert metrics.summary() == "3 of 4 products live, 21 updates, 3 lines; widest spread now: C-D, 196.08 bp"
    output.lines += 2
    feeds["C-D"].live = False
    assert metrics.summary() == "2 of 4 products live, 0 updates, 2 lines; widest spread now: A-B, 99.01 bp"


def test_summary_without_books() -> None:
    """Where no book is known there is no spread."""
    assert Metrics(Output()).summary() == "0 of 0 products live, 0 updates, 0 lines"
