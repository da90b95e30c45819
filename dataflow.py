"""Real-time limit order books from the Coinbase Exchange feed, as a Bytewax dataflow.

    exchange ──▶ input ──(product, message)──▶ orderbook ──(product, summary)──▶ big_spread ──▶ out
                   ▲                               │
                   └───────── resync ◀── books that stay crossed

Run it live with `python -m bytewax.run dataflow:flow`, or on recordings with
`python -m bytewax.run "dataflow:replay('tests/recordings')"`.
"""

import gc
import logging
from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from orderbook import settings
from orderbook.book import CrossedBook, OrderBookState, OrderBookSummary
from orderbook.coinbase.messages import BookMessage, Heartbeat, L2Update, Snapshot
from orderbook.feed.client import FeedSettings
from orderbook.feed.resync import ResyncSink
from orderbook.feed.source import CoinbaseSource
from orderbook.metrics import of_this_process
from orderbook.output.lines import LineSink
from orderbook.recording.source import RecordingSource
from orderbook.shutdown import Ending, logged

log = logging.getLogger(__name__)

UNREACHABLE_HINT = (
    "the exchange can't be reached, and is tried again and again; recordings need no network: "
    """python -m bytewax.run "dataflow:replay('tests/recordings')\""""
)


def mapper(
    state: OrderBookState | None, message: BookMessage
) -> tuple[OrderBookState, OrderBookSummary | CrossedBook | None]:
    """Bring a product's book up to date with a message, and tell what the book is like then.

    A heartbeat says nothing of the book, so nothing is told after it, save that a book is crossed still.
    With its snapshot a book becomes one of those that the metrics of this process show.
    """
    if state is None:
        state = OrderBookState()
        if type(message) is L2Update:
            log.warning("%s: changes before the first snapshot are dropped", message.product_id)
    state.update(message)
    summary = state.summarize()
    if type(message) is Snapshot:
        bids, asks = len(message.bids), len(message.asks)
        of_this_process().books[message.product_id] = state
        log.info("%s: live, %d bids and %d asks: %s", message.product_id, bids, asks, summary)
    elif type(message) is Heartbeat and type(summary) is OrderBookSummary:
        return state, None
    return state, summary


def just_large_spread(
    product_summary: tuple[str, OrderBookSummary | CrossedBook | None], min_spread: float = 0.0001
) -> bool:
    """Keep a summary whose spread is above this fraction of its ask price; never a book without one."""
    _product, summary = product_summary
    return type(summary) is OrderBookSummary and summary.spread / summary.ask_price > min_spread


def stays_crossed(product_summary: tuple[str, OrderBookSummary | CrossedBook | None], seconds: float) -> bool:
    """Keep the books that have been crossed for this long."""
    _product, summary = product_summary
    return type(summary) is CrossedBook and summary.seconds >= seconds


def flow() -> Dataflow:
    """The live dataflow with the settings of the environment: what `dataflow:flow` runs."""
    return live()


def live(
    products: str | Iterable[str] | None = None,
    min_spread: float | None = None,
    url: str | None = None,
    record: str | None = None,
) -> Dataflow:
    """The dataflow on the exchange's feed. An argument beats its variable of the environment."""
    product_ids = settings.products(products)
    threshold = settings.min_spread(min_spread)
    feed = FeedSettings(
        settings.feed_url(url),
        stale_after=settings.seconds("ORDERBOOK_STALE_AFTER"),
        refresh=settings.seconds("ORDERBOOK_REFRESH"),
    )
    crossed_after = settings.seconds("ORDERBOOK_CROSSED_AFTER")
    folder = settings.record_folder(record)
    ending = Ending()
    source = CoinbaseSource(
        product_ids, feed, ending, of_this_process(), record=folder, hint=UNREACHABLE_HINT
    )
    dataflow = Dataflow("orderbook")
    books = _order_books(op.input("input", dataflow, source), threshold, ending)
    crossed = op.filter("crossed", books, lambda item: stays_crossed(item, crossed_after))
    op.output("resync", crossed, ResyncSink(source))
    return _begin(dataflow, ending)


def replay(path: str = "tests/recordings", min_spread: float | None = None) -> Dataflow:
    """The dataflow on a recording or a folder of recordings, as fast as it goes."""
    threshold = settings.min_spread(min_spread)
    ending = Ending(resumable=True)
    try:
        source = RecordingSource(str(path), ending)
    except ValueError as error:
        raise SystemExit(f"replay: {error}") from None
    dataflow = Dataflow("orderbook")
    _order_books(op.input("input", dataflow, source), threshold, ending)
    return _begin(dataflow, ending)


def _order_books(messages: op.KeyedStream[Any], min_spread: float, ending: Ending) -> op.KeyedStream[Any]:
    books = op.stateful_map("orderbook", messages, logged(mapper))
    wide = op.filter("big_spread", books, lambda item: just_large_spread(item, min_spread))
    op.output("out", wide, LineSink(ending, of_this_process()))
    return books


def _begin(dataflow: Dataflow, ending: Ending) -> Dataflow:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    ending.install()
    gc.freeze()  # the program itself is never garbage: a full collection need not look at it again
    return dataflow
