"""Metrics of a run, for Prometheus and for the log.

The parts count in plain attributes, which costs next to nothing; names, labels and totals are made when
somebody asks. Bytewax's own endpoint (`BYTEWAX_DATAFLOW_API_ENABLED=1`, then `/metrics`) shows whatever is
in `prometheus_client`'s default registry. Each process shows what it counts itself: a feed and the book
that is made of it may be in different ones.

A market is shown only while it is one: where a book is not live, crossed or without a side, its prices are
absent, so no old price stands there as if it were of now. `grafana.json` is a dashboard of all.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import wraps
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from orderbook import signals
from orderbook.book import CrossedBook, OrderBookState, OrderBookSummary, Step, Summary
from orderbook.coinbase.messages import Message, Snapshot
from orderbook.feed.errors import REASONS
from orderbook.feed.stats import LAG_BOUNDS, FeedStats
from orderbook.output.datasets import Dataset
from orderbook.output.row_sink import RowSink


class CountsLines(Protocol):
    """An output that counts the lines that it wrote, and those that it dropped."""

    @property
    def lines(self) -> int:
        """Lines that were written."""

    @property
    def dropped(self) -> int:
        """Lines that their reader did not take in time."""


class Metrics:
    """What a run shows of its feeds, books and lines; a collector for `prometheus_client`.

    `feeds` has the counts of each product that this process receives; a replay has none. `sinks` take rows
    of `datasets`, by the name of the output. A run that prints no lines has no `output`.
    """

    def __init__(
        self,
        output: CountsLines | None = None,
        feeds: Mapping[str, FeedStats] | None = None,
        sinks: Mapping[str, RowSink] | None = None,
        datasets: Iterable[Dataset] = (),
    ) -> None:
        self._output = output
        self._sinks = {} if sinks is None else sinks
        self._datasets = [dataset.name for dataset in datasets]
        self._feeds = {} if feeds is None else feeds
        self._is_replay = feeds is None
        self._books: dict[str, OrderBookState] = {}
        self._logged = (0, 0)  # updates and lines at the last `summary`

    def watching(self, step: Step) -> Step:
        """The step that keeps a book, watched: each book is shown from its first snapshot on."""
        books = self._books

        @wraps(step)
        def watched(state: OrderBookState | None, message: Message) -> tuple[OrderBookState, Summary]:
            answer = step(state, message)
            if type(message) is Snapshot:
                books[message.product_id] = answer[0]
            return answer

        return watched

    def summary(self) -> str:
        """One line on the time since the last one, for people."""
        feeds = list(self._feeds.values())
        live = sum(feed.live for feed in feeds)
        updates = sum(feed.updates for feed in feeds)
        lines = self._output.lines if self._output else 0
        text = f"{live} of {len(feeds)} products live, {updates - self._logged[0]} updates"
        text += f", {lines - self._logged[1]} lines" if self._output else ""
        self._logged = updates, lines
        spreads = [(summary.spread / summary.ask_price, product_id) for product_id, summary in self._market()]
        if spreads:
            widest, product_id = max(spreads)
            text += f"; widest spread now: {product_id}, {widest * 10_000:.2f} bp"
        return text

    def collect(self) -> Iterator[Metric]:
        """The families that `/metrics` shows; whatever thread asks, it reads attributes and changes none."""
        yield self._collect_live()
        yield from self._collect_market()
        yield from self._collect_feeds()
        yield from self._collect_books()
        yield from self._collect_rows()
        if self._output:
            yield CounterMetricFamily("orderbook_lines", "Lines written to stdout", self._output.lines)
            yield CounterMetricFamily(
                "orderbook_lines_dropped",
                "Lines that the reader of stdout did not take in time",
                self._output.dropped,
            )

    def _market(self) -> Iterator[tuple[str, OrderBookSummary]]:
        """The summary of each book that is live and has one."""
        for product_id, book in list(self._books.items()):
            if product_id in self._feeds and not self._feeds[product_id].live:
                continue  # the book learns it with its next message; a feed may be in another process
            if isinstance(summary := book.summarize(), OrderBookSummary):
                yield product_id, summary

    def _collect_live(self) -> Metric:
        live = GaugeMetricFamily("orderbook_live", "1 while a product is live", labels=["product"])
        for product_id, feed in list(self._feeds.items()):
            live.add_metric([product_id], feed.live)
        if self._is_replay:
            for product_id, book in list(self._books.items()):
                live.add_metric([product_id], book.is_live)
        return live

    def _collect_market(self) -> Iterator[Metric]:
        by_product = ["product"]
        bid = GaugeMetricFamily("orderbook_best_bid", "Best bid, in the quote currency", labels=by_product)
        ask = GaugeMetricFamily("orderbook_best_ask", "Best ask, in the quote currency", labels=by_product)
        spread = GaugeMetricFamily(
            "orderbook_spread_bps", "Spread in basis points of the mid", labels=by_product
        )
        for product_id, summary in self._market():
            bid.add_metric([product_id], summary.bid_price)
            ask.add_metric([product_id], summary.ask_price)
            bids, asks = [(summary.bid_price, summary.bid_size)], [(summary.ask_price, summary.ask_size)]
            if (bps := signals.spread_bps(bids, asks)) is not None:
                spread.add_metric([product_id], bps)
        yield from (bid, ask, spread)

    def _collect_feeds(self) -> Iterator[Metric]:
        by_product = ["product"]
        frames = CounterMetricFamily("orderbook_frames", "Frames received", labels=by_product)
        size = CounterMetricFamily("orderbook_frame_bytes", "Bytes of them, inflated", labels=by_product)
        updates = CounterMetricFamily(
            "orderbook_updates", "Updates of live products received", labels=by_product
        )
        missing = CounterMetricFamily("orderbook_missing_trades", "Trades that never came", labels=by_product)
        connects = CounterMetricFamily("orderbook_connects", "Connections made", labels=by_product)
        resyncs = CounterMetricFamily(
            "orderbook_resyncs", "Subscriptions given up or not made", labels=["product", "reason"]
        )
        last_frame = GaugeMetricFamily(
            "orderbook_last_frame_timestamp_seconds", "When the last frame came", labels=by_product
        )
        lag = HistogramMetricFamily(
            "orderbook_lag_seconds", "From the exchange's time to the dataflow", labels=by_product
        )
        since_1970 = time.time() - time.monotonic()
        for product_id, feed in list(self._feeds.items()):
            frames.add_metric([product_id], feed.frames)
            size.add_metric([product_id], feed.bytes)
            updates.add_metric([product_id], feed.updates)
            missing.add_metric([product_id], feed.missing_trades)
            connects.add_metric([product_id], feed.connects)
            for reason in REASONS:  # those that never were too: a rise from nothing is not seen
                resyncs.add_metric([product_id, reason], feed.resyncs[reason])
            last_frame.add_metric([product_id], since_1970 + feed.last_frame)
            total, buckets = 0, []
            for bound, count in zip((*map(str, LAG_BOUNDS), "+Inf"), list(feed.lags), strict=True):
                total += count
                buckets.append((bound, total))
            lag.add_metric([product_id], buckets, feed.lag_sum)
        yield from (frames, size, updates, missing, connects, resyncs, last_frame, lag)

    def _collect_rows(self) -> Iterator[Metric]:
        labels = ["dataset", "output"]
        rows = CounterMetricFamily("orderbook_rows", "Rows written or delivered", labels=labels)
        dropped = CounterMetricFamily("orderbook_dropped_rows", "Rows dropped", labels=labels)
        for name, sink in self._sinks.items():
            written, lost = sink.rows, sink.dropped
            for dataset in self._datasets:  # those without a row too: a rise from nothing is not seen
                rows.add_metric([dataset, name], written[dataset])
                dropped.add_metric([dataset, name], lost[dataset])
        yield from (rows, dropped)

    def _collect_books(self) -> Iterator[Metric]:
        by_product = ["product"]
        changes = CounterMetricFamily("orderbook_changes", "Changes applied to a book", labels=by_product)
        levels = GaugeMetricFamily("orderbook_levels", "Levels in a book", labels=["product", "side"])
        crossed = GaugeMetricFamily("orderbook_crossed", "1 while a book is crossed", labels=by_product)
        for product_id, book in list(self._books.items()):
            changes.add_metric([product_id], book.changes)
            bids, asks = book.levels()
            levels.add_metric([product_id, "bid"], bids)
            levels.add_metric([product_id, "ask"], asks)
            crossed.add_metric([product_id], isinstance(book.summarize(), CrossedBook))
        yield from (changes, levels, crossed)
