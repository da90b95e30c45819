"""Real-time limit order books from the Coinbase Exchange feed, as a Bytewax dataflow.

    exchange ──▶ input ──(product, message)──▶ orderbook ──(product, summary)──▶ big_spread ──▶ out
                   ▲                               │
                   └────────── resync ◀── books that stay crossed

Run it by `python -m bytewax.run dataflow:flow`, on recordings by `python -m bytewax.run dataflow:replay`.
"""

import logging
import shlex
import sys
from functools import partial
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from orderbook import run, settings
from orderbook.book import CrossedBook, OrderBookState, OrderBookSummary, OversizedBook, Step, Summary
from orderbook.coinbase import exchange
from orderbook.coinbase.messages import L2Update, Message, Snapshot
from orderbook.feed.resync import ResyncSink
from orderbook.feed.silence import Timeouts
from orderbook.feed.source import CoinbaseSource
from orderbook.housekeeping import keep_house
from orderbook.metrics import Metrics
from orderbook.output.lines import LINES, LineSink
from orderbook.output.rows import rows_of, summary_of, with_rows
from orderbook.output.sinks import Sinks, sinks_of
from orderbook.page.server import Page
from orderbook.recording.source import RecordingSource
from orderbook.settings import LiveSettings, OutputSettings, ReplaySettings
from orderbook.shutdown import Shutdown, logged
from orderbook.signals import Top

log = logging.getLogger(__name__)

Messages = op.KeyedStream[Message]
Summaries = op.KeyedStream[Any]

OFFLINE_HINT = (
    f"without a network: {shlex.quote(sys.executable)} -m bytewax.run "
    """"dataflow:replay('tests/recordings')\""""
)


def mapper(state: OrderBookState | None, message: Message) -> tuple[OrderBookState, Summary]:
    """Bring a product's book up to date with a message, and summarize it.

    Heartbeats and trades change no book, so they have no summary, save that a crossed book is crossed still.
    Nor has a message of a renewed connection that repeats what came on the one before.
    """
    if state is None:
        state = OrderBookState()
        if type(message) is L2Update:
            log.warning("%s: changes before the first snapshot are dropped", message.product_id)
    state.update(message)
    summary = state.summarize()
    if type(message) is Snapshot:
        bids, asks = len(message.bids), len(message.asks)
        log.info("%s: live, %d bids and %d asks: %s", message.product_id, bids, asks, summary)
    elif type(message) is not L2Update and type(summary) is not CrossedBook:
        return state, None
    elif type(summary) is OversizedBook:
        log.warning("%s: %s, so dropped until the next snapshot", message.product_id, summary)
    if state.repeats and type(summary) is OrderBookSummary:
        return state, None
    return state, summary


def just_large_spread(product_summary: tuple[str, Summary], min_spread: float = 0.0001) -> bool:
    """Keep a summary whose spread is above this fraction of its ask price; never a book without one."""
    _product, summary = product_summary
    return type(summary) is OrderBookSummary and summary.is_wider_than(min_spread)


def is_wrong(product_summary: tuple[str, Summary]) -> bool:
    """Keep the books that are crossed or oversized."""
    _product, summary = product_summary
    return type(summary) is CrossedBook or type(summary) is OversizedBook


def only_changed(last: Top | None, summary: OrderBookSummary) -> tuple[Top, list[OrderBookSummary]]:
    """Keep a summary whose top is not that of the last line."""
    return summary.top, [] if summary.top == last else [summary]


def flow() -> Dataflow:
    """The live dataflow with the settings of the environment: what `dataflow:flow` runs."""
    dataflow: Dataflow = live()
    return dataflow


@settings.factory_of(LiveSettings)
def live(chosen: LiveSettings) -> Dataflow:
    """The dataflow on the exchange's feed; each setting is an argument, and beats its variable."""
    dataflow = Dataflow("orderbook")
    _live_books(dataflow, chosen, prints=True)
    return dataflow


@settings.factory_of(LiveSettings)
def live_books(dataflow: Dataflow, chosen: LiveSettings) -> Summaries:
    """The summaries of the exchange's feed, on a dataflow of one's own, whose run is as that of `live`.

    Each message of a product gives one; None where the book has none, or the message says nothing of it.
    stdout is the caller's. The steps' names are in README.md.
    """
    return _live_books(dataflow, chosen, prints=False)


@settings.factory_of(ReplaySettings)
def replay(chosen: ReplaySettings) -> Dataflow:
    """The dataflow on recordings, in one order by arrival; each setting is an argument."""
    dataflow = Dataflow("orderbook")
    _replayed_books(dataflow, chosen, prints=True)
    return dataflow


@settings.factory_of(ReplaySettings)
def replayed_books(dataflow: Dataflow, chosen: ReplaySettings) -> Summaries:
    """The summaries of recordings; else as `live_books`."""
    return _replayed_books(dataflow, chosen, prints=False)


def _live_books(dataflow: Dataflow, chosen: LiveSettings, prints: bool) -> Summaries:
    shutdown = Shutdown(default_code=1)  # a feed has no end: where it ends, all products were refused
    source = CoinbaseSource(
        chosen.products,
        chosen.url or exchange.URL,
        Timeouts(chosen.stale_after, chosen.refresh),
        shutdown,
        connections=chosen.connections,
        record=chosen.record,
        hint=OFFLINE_HINT,
    )
    lines = LineSink(shutdown, chosen.stale_after, encode=LINES[chosen.format]) if prints else None
    sinks = sinks_of(chosen, shutdown, waits=False)
    metrics = Metrics(lines, source.stats, sinks, chosen.datasets)
    messages = op.input("input", dataflow, source)
    page = Page(chosen.page, source.stats, chosen.products)
    books = _books(messages, chosen, page.watching(metrics.watching(mapper)), sinks)
    if lines:
        _print(books, chosen, lines)
    wrong = op.filter("wrong", books, is_wrong)
    op.output("resync", wrong, ResyncSink(source, chosen.crossed_after))
    run.start(shutdown, metrics, page, lines, source.close, lambda: keep_house(metrics.summary))
    return books


def _replayed_books(dataflow: Dataflow, chosen: ReplaySettings, prints: bool) -> Summaries:
    shutdown = Shutdown(resumable=True)
    try:
        source = RecordingSource(
            chosen.path, shutdown, chosen.products, chosen.speed, chosen.start, chosen.end
        )
    except ValueError as error:
        raise SystemExit(f"replay: {error}") from None
    lines = LineSink(shutdown, encode=LINES[chosen.format]) if prints else None
    sinks = sinks_of(chosen, shutdown, waits=True)
    metrics = Metrics(lines, None, sinks, chosen.datasets)
    messages = op.input("input", dataflow, source)
    page = Page(chosen.page, None)
    books = _books(messages, chosen, page.watching(metrics.watching(mapper)), sinks)
    if lines:
        _print(books, chosen, lines)
    run.start(
        shutdown,
        metrics,
        page,
        lines,
        lambda: source.conclude(lines.lines if lines else None),
        progress=source.progress,
    )
    return books


def _books(messages: Messages, chosen: OutputSettings, step: Step, sinks: Sinks) -> Summaries:
    """Keep the books, and give their summaries; rows of them go to the sinks, if there are any."""
    if not sinks:
        return op.stateful_map("orderbook", messages, logged(step))
    step_with_rows = with_rows(step, chosen.datasets, chosen.min_spread)
    answers = op.stateful_map("orderbook", messages, logged(step_with_rows))
    rows = op.flat_map("rows", answers, rows_of)
    for name, sink in sinks.items():
        op.output(name, rows, sink)
    return op.map("summaries", answers, summary_of)


def _print(books: Summaries, chosen: OutputSettings, lines: LineSink) -> None:
    """Print the wide summaries."""
    wide = op.filter("big_spread", books, partial(just_large_spread, min_spread=chosen.min_spread))
    if chosen.on == "change":
        wide = op.stateful_flat_map("changes", wide, only_changed)
    op.output("out", wide, lines)


if __name__ == "__main__":
    sys.exit(f"to run it: {sys.executable} -m bytewax.run dataflow:flow")
