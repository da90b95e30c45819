"""Outages of the network, and what they leave behind; `tests.stress.outage` is the long form."""

import asyncio
import os
import re
from itertools import cycle, islice

from tests.exchange import Exchange
from tests.exchange.trouble import FAULTS, Stream
from tests.stress.outage import FEW, SOON_FOR_FEW, excess, outage
from tests.stress.soak import process_figures
from tests.support.client import PRODUCT, hearing, until

PACE, BURST = 7.5, 16  # connects a second, and at once: what a run allows itself


def test_away_and_back() -> None:
    """All products are live again soon after the network is, connects stay paced, and every line is right.

    Each product says that it lost its connection, then that it gets none, and last that it is live.
    """
    figures = outage(FEW, seconds=3, patience=60)
    assert figures.wrong == []
    assert figures.took < SOON_FOR_FEW
    assert excess(figures.attempts, PACE, BURST) <= 0
    said = re.findall(r"(\w+) (\w+-\w+): (.*)", figures.stderr)
    for product in {product for _level, product, _text in said}:
        (_, live), (lost, closed), *refused, (info, again) = [
            (lv, text) for lv, p, text in said if p == product
        ]
        assert live.startswith("live, ")
        assert lost == "WARNING" and closed.startswith("the connection was closed")
        assert refused
        assert all(level == "WARNING" and text.startswith("no connection to ") for level, text in refused)
        assert info == "INFO" and again.startswith("live, ")


def test_excess() -> None:
    """What is too much is told of any span of time, and no more than that."""
    assert excess([1.0] * 3, rate=1, burst=3) == 0
    assert excess([1.0] * 3 + [2.0] * 2, rate=1, burst=3) == 1
    assert excess([0.0, 9.0, 9.0, 9.0, 9.0], rate=1, burst=3) == 1
    assert excess([0.0, 1.0, 2.0, 3.0], rate=1, burst=1) == 0


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
        return len(asyncio.all_tasks()), process_figures(os.getpid())["sockets"]

    async def scenario() -> None:
        with Exchange([PRODUCT], rate=100) as exchange:
            limits = {"stale_after": 0.5, "open_within": 0.2, "snapshot_within": 0.2}
            async with hearing(exchange.url, **limits) as heard:
                await until(lambda: exchange.live(PRODUCT))
                after_the_first = kept()
                for name in islice(cycle(faults), 30):
                    newest = exchange.live(PRODUCT)[-1].number
                    exchange.fault(name)
                    if FAULTS[name].moment is not Stream:  # it waits for a new connection
                        exchange.fault("closed_1006")
                    await until(lambda newest=newest: is_replaced(exchange, newest))
                assert {struck.name for struck in exchange.struck} == set(faults)
                assert len(heard.troubles) >= 30
                await until(lambda: kept() == after_the_first)

    asyncio.run(scenario())


def is_replaced(exchange: Exchange, number: int) -> bool:
    """Whether there is a live connection that is newer than this one."""
    return any(connection.number > number for connection in exchange.live(PRODUCT))
