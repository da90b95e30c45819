"""A live dataflow with a mistake in it: the first product to lose its connection raises what nobody expects.

ORDERBOOK_FEED_URL=… ORDERBOOK_PRODUCTS=… python -m bytewax.run tests.support.crashing:flow
"""

from collections.abc import Generator

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from orderbook import settings
from orderbook.feed.client import FeedSettings
from orderbook.feed.source import CoinbaseSource
from orderbook.metrics import of_this_process
from orderbook.output.lines import LineSink
from orderbook.shutdown import Ending


def no_delays() -> Generator[float]:
    """Delays that can't be had."""
    raise RuntimeError("crashed on purpose")
    yield 0.0


def flow() -> Dataflow:
    """What the feed says to stdout, until it crashes."""
    ending, metrics = Ending(), of_this_process()
    feed = FeedSettings(settings.feed_url(), retry_delays=no_delays)
    dataflow = Dataflow("crashing")
    messages = op.input("input", dataflow, CoinbaseSource(settings.products(), feed, ending, metrics))
    op.output("out", messages, LineSink(ending, metrics))
    ending.install()
    return dataflow
