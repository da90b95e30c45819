"""How well it goes: what is counted of each product, shown to Prometheus and summed up once a minute.

The parts count in plain attributes, which costs next to nothing; names, labels and totals are made
when somebody asks. Bytewax's own endpoint (`BYTEWAX_DATAFLOW_API_ENABLED=1`, then `/metrics`) shows
whatever is in `prometheus_client`'s default registry. Each process counts what it does itself: a feed
and the book that is made of it may be in different ones.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from orderbook.book import CrossedBook, OrderBookState, OrderBookSummary

LAG_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
REASONS = ("stale", "crossed", "bad frame", "refresh", "closed")
NO_LAG = 3600.0  # a `time` that is further away is a clock gone wrong (year 1 has been seen), not a lag


class FeedMetrics:
    """What a product's feed counts."""

    def __init__(self) -> None:
        self.frames = 0
        self.updates = 0
        self.bytes = 0
        self.connects = 0
        self.rejected = 0
        self.resyncs: Counter[str] = Counter()  # by reason
        self.live = False
        self.last_frame = time.monotonic()
        self.lags = [0] * (len(LAG_BOUNDS) + 1)  # messages by bound, the last above all bounds
        self.lag_sum = 0.0

    def observe(self, text: str | None) -> None:
        """Count how long ago the exchange says it sent a message that is read now."""
        try:
            lag = time.time() - datetime.fromisoformat(text).timestamp() if text else NO_LAG
        except ValueError:
            return
        if abs(lag) < NO_LAG:
            lag = max(0.0, lag)  # our clock is a little behind the exchange's
            self.lags[bisect_left(LAG_BOUNDS, lag)] += 1
            self.lag_sum += lag


class Metrics:
    """What this process counts, by product; a collector for `prometheus_client`."""

    def __init__(self) -> None:
        self.feeds: dict[str, FeedMetrics] = {}
        self.books: dict[str, OrderBookState] = {}
        self.lines = 0
        self._said = (0, 0)  # updates and lines when last summed up

    def feed(self, product_id: str) -> FeedMetrics:
        """The counts of a product's feed."""
        return self.feeds.setdefault(product_id, FeedMetrics())

    def summary(self) -> str:
        """One line on the time since the last one, for people."""
        live = sum(feed.live for feed in self.feeds.values())
        updates, lines = sum(feed.updates for feed in self.feeds.values()), self.lines
        text = (
            f"{live} of {len(self.feeds)} products live, {updates - self._said[0]} updates, "
            f"{lines - self._said[1]} lines"
        )
        self._said = updates, lines
        spreads = [
            (summary.spread / summary.ask_price, product_id)
            for product_id, book in list(self.books.items())
            if product_id not in self.feeds or self.feeds[product_id].live  # a feed may be elsewhere
            if isinstance(summary := book.latest, OrderBookSummary)
        ]
        if spreads:
            widest, product_id = max(spreads)
            text += f"; widest spread now: {product_id}, {widest * 10_000:.2f} bp"
        return text

    def collect(self) -> Iterator[Metric]:
        """The families that `/metrics` shows; whatever thread asks, it reads attributes and changes none."""
        by_product = ["product"]
        frames = CounterMetricFamily("orderbook_frames", "Frames received", labels=by_product)
        size = CounterMetricFamily("orderbook_frame_bytes", "Bytes of them, inflated", labels=by_product)
        connects = CounterMetricFamily("orderbook_connects", "Connections made", labels=by_product)
        rejected = CounterMetricFamily("orderbook_rejected_frames", "Frames rejected", labels=by_product)
        resyncs = CounterMetricFamily(
            "orderbook_resyncs", "Connections given up or not made", labels=["product", "reason"]
        )
        age = GaugeMetricFamily(
            "orderbook_last_frame_age_seconds", "Time since the last frame", labels=by_product
        )
        lag = HistogramMetricFamily(
            "orderbook_lag_seconds", "From the exchange's time to the dataflow", labels=by_product
        )
        for product_id, feed in list(self.feeds.items()):
            frames.add_metric([product_id], feed.frames)
            size.add_metric([product_id], feed.bytes)
            connects.add_metric([product_id], feed.connects)
            rejected.add_metric([product_id], feed.rejected)
            for reason in REASONS:  # those that never were too: a rise from nothing is not seen
                resyncs.add_metric([product_id, reason], feed.resyncs[reason])
            age.add_metric([product_id], time.monotonic() - feed.last_frame)
            total, buckets = 0, []
            for bound, count in zip((*map(str, LAG_BOUNDS), "+Inf"), list(feed.lags), strict=True):
                total += count
                buckets.append((bound, total))
            lag.add_metric([product_id], buckets, feed.lag_sum)
        changes = CounterMetricFamily("orderbook_changes", "Changes applied to a book", labels=by_product)
        levels = GaugeMetricFamily("orderbook_levels", "Levels in a book", labels=["product", "side"])
        crossed = GaugeMetricFamily("orderbook_crossed", "1 while a book is crossed", labels=by_product)
        for product_id, book in list(self.books.items()):
            changes.add_metric([product_id], book.changes)
            bids, asks = book.levels()
            levels.add_metric([product_id, "bid"], bids)
            levels.add_metric([product_id, "ask"], asks)
            crossed.add_metric([product_id], isinstance(book.latest, CrossedBook))
        return iter([frames, size, connects, rejected, resyncs, age, lag, changes, levels, crossed])


@cache
def of_this_process() -> Metrics:
    """The metrics that this process shows; registered where they are first asked for."""
    metrics = Metrics()
    REGISTRY.register(metrics)
    return metrics
