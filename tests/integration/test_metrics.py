"""Metrics of a live run, as Prometheus gets to see them."""

import time

from tests.exchange import Exchange
from tests.support.live import settings
from tests.support.ports import metrics_port
from tests.support.processes import start
from tests.support.scrape import Samples, scrape
from tests.support.waiting import wait_until

PRODUCTS = FIRST, SECOND = ("BTC-EUR", "ETH-EUR")


def test_live_run() -> None:
    """`/metrics` of the engine's own endpoint shows of each product what the exchange sent."""
    with metrics_port() as port, Exchange(PRODUCTS, rate=0, levels=50) as exchange:
        api = {"BYTEWAX_DATAFLOW_API_ENABLED": "1", "BYTEWAX_DATAFLOW_API_PORT": str(port)}

        def shown_with_book() -> Samples | None:
            """What is shown, where the book is the exchange's, and the other product is live too."""
            bids, asks = exchange.book(SECOND)
            counts = scrape(port)
            book = [counts.get(("orderbook_levels", SECOND, side)) for side in ("bid", "ask")]
            book += [counts.get((f"orderbook_best_{side}", SECOND)) for side in ("bid", "ask")]
            book += [counts.get(("orderbook_updates_total", SECOND))]
            if book != [len(bids), len(asks), max(bids), min(asks), 30]:
                return None
            up = [("orderbook_live", FIRST), ("orderbook_best_bid", FIRST), ("orderbook_lines_total",)]
            return counts if all(map(counts.get, up)) else None

        with start(["dataflow:flow"], settings(exchange) | api) as process:
            wait_until(lambda: all(map(exchange.live, PRODUCTS)))
            exchange.step(FIRST, 20)
            exchange.close_listener(drop=True)
            exchange.open_listener()
            wait_until(lambda: len(exchange.connections) == 4 and all(map(exchange.live, PRODUCTS)))
            exchange.step(SECOND, 30)
            counts = wait_until(shown_with_book)
            process.interrupt()
            assert process.wait().code == 0
    assert counts
    for product in PRODUCTS:
        # Heartbeats of the moment may not have arrived, and acknowledgements are not of a product.
        assert 0 < counts["orderbook_frames_total", product] <= len(exchange.sent[product])
        assert counts["orderbook_frame_bytes_total", product] <= sum(
            len(sent.frame) for sent in exchange.sent[product]
        )
        assert counts["orderbook_connects_total", product] == 2
        assert counts["orderbook_resyncs_total", product, "closed"] == 1
        assert counts["orderbook_lag_seconds_count", product] > 0
        assert counts["orderbook_crossed", product] == 0
        assert counts["orderbook_live", product] == 1
        assert counts["orderbook_best_bid", product] < counts["orderbook_best_ask", product]
        assert counts["orderbook_spread_bps", product] > 0
        assert abs(time.time() - counts["orderbook_last_frame_timestamp_seconds", product]) < 30
    assert counts["orderbook_changes_total", SECOND] > 0
    assert counts["orderbook_updates_total", FIRST] <= 20
    assert counts["orderbook_lines_total",] > 0
