"""Metrics, made by hand of what the parts have counted."""

import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from orderbook.book import CrossedBook, OrderBookState, OrderBookSummary, Summary
from orderbook.coinbase.messages import Change, Heartbeat, L2Update, Level, Message, Snapshot
from orderbook.feed.errors import REASONS, FeedError
from orderbook.feed.stats import FeedStats
from orderbook.metrics import Metrics
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
        feed.resyncs["stale"] = factor
        feed.last_frame = time.monotonic() - 100 * factor
    counts = shown(metrics)
    for product, factor in (("A-B", 1), ("C-D", 10)):
        assert counts["orderbook_frames_total", product] == 3 * factor
        assert counts["orderbook_frame_bytes_total", product] == 500 * factor
        assert counts["orderbook_connects_total", product] == 2 * factor
        assert counts["orderbook_resyncs_total", product, "stale"] == factor
        last_frame = counts["orderbook_last_frame_timestamp_seconds", product]
        assert last_frame == pytest.approx(time.time() - 100 * factor, abs=5)


def test_dropped_lines() -> None:
    """The lines that the reader of stdout did not take are shown, also where there are none."""
    for dropped in (0, 7):
        assert shown(Metrics(Output(dropped=dropped)))["orderbook_lines_dropped_total",] == dropped


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
    bounds = ("0.005", "0.025", "0.05", "1.0", "2.5", "10.0", "+Inf")
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
