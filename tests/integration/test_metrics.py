"""What is counted: by hand, and as Prometheus gets to see it from a live run."""

import logging
import socket
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from orderbook.book import OrderBookState
from orderbook.coinbase.messages import Change, L2Update, Level, Snapshot
from orderbook.feed.client import FeedSettings
from orderbook.feed.source import CoinbaseSource
from orderbook.metrics import FeedMetrics, Metrics
from orderbook.shutdown import Ending
from tests.exchange import Exchange
from tests.support.processes import DEADLINE, start

Samples = dict[tuple[str, ...], float]


def samples(text: str) -> Samples:
    """The values by (name, product, further label)."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("orderbook_")
    }


def shown(metrics: Metrics) -> Samples:
    registry = CollectorRegistry()
    registry.register(metrics)
    return samples(generate_latest(registry).decode())


def test_lag_is_counted_by_bound_and_what_is_no_lag_is_left_out() -> None:
    """A lag lands in its bucket, one below 0 is 0; years 1 and 9999, or no time at all, do not count."""
    metrics = Metrics()
    feed = metrics.feed("A-B")
    now = datetime.now(UTC)
    for lag in (0.03, 2.0, 100.0, -9):
        feed.observe((now - timedelta(seconds=lag)).isoformat())
    for no_lag in ("0001-01-01T00:00:00.000000Z", None, "yesterday", "", "9999-12-31T23:59:59.999999Z"):
        feed.observe(no_lag)
    counts = shown(metrics)
    assert [
        counts["orderbook_lag_seconds_bucket", bound, "A-B"] for bound in ("0.005", "0.05", "2.5", "10.0")
    ] == [
        1,  # 9 s in the future: clocks differ
        2,
        3,
        3,
    ]
    assert counts["orderbook_lag_seconds_count", "A-B"] == 4
    assert counts["orderbook_lag_seconds_sum", "A-B"] == pytest.approx(102.03, abs=0.5)


def test_books_are_shown_as_they_are_now() -> None:
    """Levels are the live ones, crossed is 1 while the book is crossed, and changes add up."""
    metrics, book = Metrics(), OrderBookState()
    metrics.books["A-B"] = book
    book.update(Snapshot("A-B", [Level(1, 1), Level(2, 1), Level(3, 1)], [Level(4, 1), Level(5, 1)]))
    book.update(L2Update("A-B", [Change("buy", 1, 0), Change("sell", 6, 1), Change("sell", 7, 1)]))
    book.summarize()
    counts = shown(metrics)
    assert (counts["orderbook_levels", "A-B", "bid"], counts["orderbook_levels", "A-B", "ask"]) == (2, 4)
    assert (counts["orderbook_changes_total", "A-B"], counts["orderbook_crossed", "A-B"]) == (3, 0)
    book.update(L2Update("A-B", [Change("buy", 4, 1)]))
    book.summarize()
    assert shown(metrics)["orderbook_crossed", "A-B"] == 1


def test_summary_names_the_widest_spread_and_counts_since_the_last() -> None:
    """Products live of all, messages and lines since the last summary, the widest spread and whose it is."""
    metrics = Metrics()
    metrics.feed("A-B").live = True
    metrics.feed("C-D").updates = 7
    metrics.feed("C-D").live = True
    metrics.feed("E-F")
    metrics.lines = 3
    for product_id, ask in (("A-B", 101.0), ("C-D", 102.0)):
        metrics.books[product_id] = OrderBookState()
        metrics.books[product_id].update(Snapshot(product_id, [Level(100, 1)], [Level(ask, 1)]))
        metrics.books[product_id].summarize()
    assert metrics.summary() == "2 of 3 products live, 7 updates, 3 lines; widest spread now: C-D, 196.08 bp"
    metrics.lines += 2
    metrics.feed("C-D").live = False
    assert metrics.summary() == "1 of 3 products live, 0 updates, 2 lines; widest spread now: A-B, 99.01 bp"


def test_a_source_sums_up_in_time(caplog: pytest.LogCaptureFixture) -> None:
    """While it is polled, a source says its summary at each interval."""
    with Exchange(["A-B"], rate=0) as exchange:
        source = CoinbaseSource(
            ["A-B"], FeedSettings(exchange.url), ending := Ending(), Metrics(), summary_every=0.2
        )
        with caplog.at_level(logging.INFO):
            partition = source.build_part("input", "A-B", None)
            deadline = time.monotonic() + DEADLINE
            while "1 of 1 products live" not in caplog.text and time.monotonic() < deadline:
                partition.next_batch()
        ending.finish(0)
        partition.close()
    assert "1 of 1 products live" in caplog.text


def test_a_live_run_shows_what_the_exchange_sent() -> None:
    """`/metrics` of Bytewax's own endpoint: each product's counts are those of the exchange's transcript."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Exchange(["BTC-EUR", "ETH-EUR"], rate=0, levels=50) as exchange:
        env = {
            "ORDERBOOK_FEED_URL": exchange.url,
            "ORDERBOOK_PRODUCTS": "BTC-EUR,ETH-EUR",
            "BYTEWAX_DATAFLOW_API_ENABLED": "1",
            "BYTEWAX_DATAFLOW_API_PORT": str(port),
        }

        def scrape() -> Samples:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE) as response:
                return samples(response.read().decode())

        with start(["dataflow:flow"], env) as process:
            exchange.wait(lambda: all(map(exchange.live, exchange.products)), DEADLINE)
            exchange.step("BTC-EUR", 20)
            exchange.close_listener(drop=True)
            exchange.open_listener()
            exchange.wait(lambda: all(map(exchange.live, exchange.products)), DEADLINE)
            exchange.step("ETH-EUR", 30)
            bids, asks = (len(side) for side in exchange.book("ETH-EUR"))
            exchange.wait(
                lambda: (
                    scrape().get(("orderbook_levels", "ETH-EUR", "bid")) == bids
                    and scrape()["orderbook_levels", "ETH-EUR", "ask"] == asks
                ),
                DEADLINE,
            )
            counts = scrape()
            process.interrupt()
            assert process.wait().code == 0
        sent = exchange.sent
    for product in ("BTC-EUR", "ETH-EUR"):
        # the heartbeats of the moment may not have arrived, and the acks are not in the transcript
        assert 0 < counts["orderbook_frames_total", product] <= len(sent[product]) + 2
        assert counts["orderbook_connects_total", product] == 2
        assert sum(n for key, n in counts.items() if key[:2] == ("orderbook_resyncs_total", product)) >= 1
        assert counts["orderbook_crossed", product] == 0
        assert counts["orderbook_last_frame_age_seconds", product] < 5
    assert counts["orderbook_resyncs_total", "BTC-EUR", "closed"] >= 1


def test_counting_costs_little() -> None:
    """A message's lag costs a microsecond or so; this only bars the absurd."""
    feed, sent = FeedMetrics(), datetime.now(UTC).isoformat()
    began = time.perf_counter()
    for _ in range(1000):
        feed.observe(sent)
    assert time.perf_counter() - began < 0.1
