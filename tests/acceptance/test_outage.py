"""Outages of the network, and what they leave behind; `tests.stress.outage` is the long form."""

import asyncio
import math
import re
from collections import Counter
from functools import partial
from itertools import cycle, islice

import pytest

from orderbook.feed.silence import Timeouts
from tests.exchange import Exchange
from tests.exchange.trouble import FAULTS, Stream
from tests.stress.outage import LIMIT_BURST, LIMIT_RATE, SOON, excess, outage
from tests.support.client import receiver
from tests.support.usage import usage
from tests.support.waiting import until

PRODUCTS, CONNECTIONS = 6, 3
PRODUCT = "BTC-EUR"


def test_away_and_back() -> None:
    """After an outage all products are live again, no line is wrong; connects and requests are limited.

    Each connection logs once that it was lost, and all together log once that the exchange can't be reached.
    """
    figures = outage(PRODUCTS, seconds=3, patience=3 * SOON, connections=CONNECTIONS)
    assert figures.wrong == []
    assert figures.took < math.inf
    assert len(figures.attempts) >= 2 * CONNECTIONS and len(figures.requests) == 2 * CONNECTIONS
    assert excess(figures.attempts, LIMIT_RATE, LIMIT_BURST) <= 0
    assert excess(figures.requests, LIMIT_RATE, LIMIT_BURST) <= 0
    logged = re.findall(r" (INFO|WARNING|ERROR) (.*)", figures.stderr)
    live = Counter(text.split(":")[0] for level, text in logged if level == "INFO" and ": live, " in text)
    assert len(live) == PRODUCTS and set(live.values()) == {2}
    warnings = [text for level, text in logged if level != "INFO" and "trades are missing" not in text]
    lost = [text.split(":")[0].split(", ") for text in warnings if ": the connection was closed" in text]
    assert sorted(product for products in lost for product in products) == sorted(live)
    assert len([text for text in warnings if text.startswith("no connection to ")]) == 1
    assert len(warnings) == CONNECTIONS + 1


@pytest.mark.parametrize(
    ("moments", "burst", "above"),
    [
        ([1.0] * 3, 3, 0),
        ([1.0] * 3 + [2.0] * 2, 3, 1),
        ([0.0, 9.0, 9.0, 9.0, 9.0], 3, 1),
        ([0.0, 1.0, 2.0, 3.0], 1, 0),
    ],
)
def test_excess(moments: list[float], burst: float, above: float) -> None:
    """The excess is that of the worst span of time, at one moment a second besides the burst."""
    assert excess(moments, rate=1, burst=burst) == above


def test_reconnects_leave_nothing_behind() -> None:
    """After thirty connections, lost in all sorts of ways, tasks and sockets are as many as after one."""
    faults = [
        "closed_1001",
        "closed_1006",
        "dropped_in_mid_frame",
        "not_json",
        "error_in_mid_stream",
        "silence_without_heartbeats",
        *("http_503", "handshake_hangs", "dropped_at_once", "snapshot_never"),
    ]

    def kept() -> tuple[int, int]:
        return len(asyncio.all_tasks()), usage().sockets

    async def scenario() -> None:
        timeouts = Timeouts(stale_after=0.5, refresh=1e9, snapshot_timeout=0.2)
        with Exchange([PRODUCT], rate=100) as exchange:
            async with receiver(exchange.url, PRODUCT, timeouts=timeouts, open_timeout=0.2) as received:
                await until(lambda: exchange.live(PRODUCT))
                after_the_first = kept()
                for name in islice(cycle(faults), 30):
                    newest = exchange.live(PRODUCT)[-1].number
                    exchange.fault(name)
                    if FAULTS[name].moment is not Stream:  # it waits for a new connection
                        exchange.fault("closed_1006")
                    await until(partial(is_replaced, exchange, newest))
                assert {struck.name for struck in exchange.struck} == set(faults)
                assert len(received.lost) >= 30
                await until(lambda: kept() == after_the_first)

    asyncio.run(scenario())


def is_replaced(exchange: Exchange, number: int) -> bool:
    """Whether there is a live connection that is newer than this one."""
    return any(connection.number > number for connection in exchange.live(PRODUCT))
