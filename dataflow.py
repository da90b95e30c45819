"""Real-time limit order books from the Coinbase Exchange feed, as a Bytewax dataflow.

    Coinbase ──▶ input ──(product, message)──▶ orderbook ──(product, summary)──▶ big_spread ──▶ out

Run it live with `python -m bytewax.run dataflow:flow`, or on recordings with
`python -m bytewax.run "dataflow:replay('tests/recordings')"`.
"""

import logging
from functools import partial

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source

from orderbook.book import CrossedBook, OrderBookState, OrderBookSummary
from orderbook.ending import Ending
from orderbook.messages import Heartbeat, Message, Snapshot
from orderbook.recording import RecordingSource
from orderbook.sink import LineSink

log = logging.getLogger(__name__)


def mapper(
    state: OrderBookState | None, message: Message
) -> tuple[OrderBookState, OrderBookSummary | CrossedBook | None]:
    """Bring a product's book up to date with a message, and tell what the book is like then.

    A heartbeat says nothing of the book, so nothing is told after it, save that a book is crossed still.
    """
    if state is None:
        state = OrderBookState()
    state.update(message)
    summary = state.summarize()
    if type(message) is Heartbeat and type(summary) is OrderBookSummary:
        return state, None
    if type(message) is Snapshot:
        log.info("%s: %s", message.product_id, summary)
    return state, summary


def just_large_spread(
    product_summary: tuple[str, OrderBookSummary | CrossedBook | None], min_spread: float = 0.0001
) -> bool:
    """Keep a summary whose spread is above this fraction of its ask price; never a book without one."""
    _product, summary = product_summary
    return type(summary) is OrderBookSummary and summary.spread / summary.ask_price > min_spread


def replay(path: str = "tests/recordings", min_spread: float | None = None) -> Dataflow:
    """The dataflow on a recording or a folder of recordings, as fast as it goes."""
    ending = _begin()
    try:
        source = RecordingSource(path, ending)
    except ValueError as error:
        raise SystemExit(f"replay: {error}") from None
    return _order_books(source, 0.0001 if min_spread is None else min_spread, ending)


def _begin() -> Ending:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    ending = Ending()
    ending.install()
    return ending


def _order_books(source: Source[tuple[str, Message]], min_spread: float, ending: Ending) -> Dataflow:
    flow = Dataflow("orderbook")
    messages = op.input("input", flow, source)
    books = op.stateful_map("orderbook", messages, mapper)
    wide = op.filter("big_spread", books, partial(just_large_spread, min_spread=min_spread))
    op.output("out", wide, LineSink(ending))
    return flow
