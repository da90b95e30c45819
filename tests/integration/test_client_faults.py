"""Table of the simulated exchange's faults, each on a connection of three products."""

import asyncio
from typing import NamedTuple

import pytest

from orderbook.feed.errors import Closed, FeedError, Refused, Rejected, Unreachable
from tests.exchange import Exchange
from tests.exchange.lies import LIES
from tests.support.client import handed_on, is_live, receive_all, receiver
from tests.support.waiting import until

PRODUCTS = FAULTY, *_ = ("BTC-EUR", "ETH-EUR", "BTC-GBP")


class Row(NamedTuple):
    """A fault that costs the connection: the error that follows, and a part of its text."""

    fault: str
    error: type[FeedError]
    text: str
    is_whole: bool = True  # all that was sent before the fault arrives, and is handed on


TABLE = [
    Row("http_403", Unreachable, "HTTP 403"),
    Row("http_429", Unreachable, "HTTP 429"),
    Row("http_503", Unreachable, "HTTP 503"),
    Row("dropped_at_once", Closed, "no close frame"),
    Row("snapshot_over_4_mib", Closed, "1009", is_whole=False),
    Row("dropped_in_mid_frame", Closed, "no close frame"),
    Row("closed_1001", Closed, "1001"),
    Row("closed_1006", Closed, "no close frame", is_whole=False),
    Row("closed_1011", Closed, "1011"),
    Row("error_in_mid_stream", Refused, "Internal error", is_whole=False),
    *(Row(lie, Rejected, "frame rejected") for lie in LIES),
]


@pytest.mark.parametrize("row", TABLE, ids=[row.fault for row in TABLE])
def test_fault_that_costs_the_connection(row: Row) -> None:
    """A fault of one product costs all of its connection's that connection, once, and no message is wrong."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            exchange.fault(row.fault, FAULTY)
            async with receiver(exchange.url, *PRODUCTS) as client:
                failed = -1 if row.error is Unreachable else 0
                await until(lambda: is_live(exchange, *PRODUCTS, after=failed))
                await receive_all(exchange, client, *PRODUCTS)
            (lost,) = client.lost
            assert (lost.product_ids, lost.kind) == (list(PRODUCTS), row.error)
            assert row.text in lost.text
            assert len(exchange.attempts) == 2
            assert len(exchange.struck) == 1
            for stats in client.stats.values():
                assert stats.resyncs == {row.error.reason: 1}
            if row.is_whole:
                received = client.frames_of(FAULTY)
                sent = [frame for frames in handed_on(exchange, FAULTY) for frame in frames]
                assert received == sent[: len(received)]  # what follows are heartbeats, sent since

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (None, None),
        ("ack_late", 0.3),
        ("ack_missing", None),
        ("ack_after_snapshot", None),
        ("another_error", None),
        ("snapshot_late", 0.3),
        ("snapshot_again", None),
        ("snapshot_over_1_mib", None),
        ("silence_with_heartbeats", 0.3),
        ("unknown_type", None),
        ("update_repeated", None),
        ("burst", None),
        ("slow_link", 0.3),
        ("time_jumps", None),
        ("time_year_one", None),
    ],
)
def test_fault_that_costs_nothing(fault: str | None, seconds: float | None) -> None:
    """All that was sent of each product is handed on, in order and once, its snapshot first."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=150, levels=50) as exchange:
            if fault:
                exchange.fault(fault, FAULTY, seconds=seconds)
            async with receiver(exchange.url, *PRODUCTS) as client:
                await until(lambda: all(len(client.frames_of(product)) > 20 for product in PRODUCTS))
                await until(lambda: not fault or exchange.struck)
                await receive_all(exchange, client, *PRODUCTS)
            for product in PRODUCTS:
                assert len(handed_on(exchange, product)) == 1
                assert client.stats[product].resyncs.total() == 0
            assert client.lost == []
            assert len(exchange.attempts) == 1
            assert len(exchange.struck) == (1 if fault else 0)

    asyncio.run(scenario())
