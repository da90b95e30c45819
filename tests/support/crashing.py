"""Live dataflow with a mistake in it: the first connection that is lost raises what nobody expects.

ORDERBOOK_FEED_URL=… ORDERBOOK_PRODUCTS=… python -m bytewax.run tests.support.crashing:flow
"""

from collections.abc import Generator

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from orderbook import settings
from orderbook.coinbase import exchange
from orderbook.feed.silence import Timeouts
from orderbook.feed.source import CoinbaseSource
from orderbook.output.lines import LineSink
from orderbook.settings import LiveSettings
from orderbook.shutdown import Shutdown


def no_delays() -> Generator[float]:
    """Delays whose first one is an error."""
    raise RuntimeError("crashed on purpose")
    yield 0.0


def flow() -> Dataflow:
    """The messages of the feed to stdout, until it crashes."""
    chosen, shutdown = settings.read(LiveSettings, {}), Shutdown()
    source = CoinbaseSource(
        chosen.products, chosen.url or exchange.URL, Timeouts(), shutdown, reconnect_delays=no_delays
    )
    dataflow = Dataflow("crashing")
    messages = op.input("input", dataflow, source)
    op.output("out", messages, LineSink(shutdown))
    shutdown.install()
    return dataflow
