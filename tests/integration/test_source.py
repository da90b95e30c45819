"""Source against the simulated exchange, its partitions polled by hand as the engine does."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from threading import Thread
from typing import Any

import pytest

from orderbook.book import CrossedBook
from orderbook.coinbase.exchange import decode
from orderbook.coinbase.messages import Message, Trade
from orderbook.feed.resync import ResyncSink
from orderbook.feed.silence import Timeouts
from orderbook.feed.source import CoinbasePartition, CoinbaseSource
from orderbook.shutdown import Shutdown
from tests.exchange import Exchange
from tests.support.client import TIMEOUTS, as_sent, handed_on, short_delays
from tests.support.clock import Clock
from tests.support.waiting import wait_until

PRODUCTS = FIRST, SECOND, THIRD = ("BTC-EUR", "ETH-EUR", "BTC-GBP")
NEVER_BLOCKS = 0.4  # seconds: no poll takes longer, however busy the machine


class Polled:
    """Some of a source's partitions, polled one after another, over and over, as a worker does."""

    def __init__(self, parts: dict[str, CoinbasePartition]) -> None:
        self.parts = parts
        self.messages: dict[str, list[Message]] = {product: [] for product in parts}
        self.ended: list[str] = []
        self.slowest = 0.0  # seconds that a poll took

    def poll(self) -> None:
        """Poll each partition that has not ended."""
        for product, part in self.parts.items():
            if product in self.ended:
                continue
            began = time.monotonic()
            try:
                for product_id, message in part.next_batch():
                    self.messages[product_id].append(message)
            except StopIteration:
                self.ended.append(product)
            self.slowest = max(self.slowest, time.monotonic() - began)

    def poll_until(self, condition: Callable[[], Any]) -> None:
        """Poll until a condition is true, with a deadline."""

        def polled() -> bool:
            self.poll()
            return bool(condition())

        wait_until(polled)

    def poll_for(self, seconds: float) -> None:
        """Poll for some time."""
        end = time.monotonic() + seconds
        self.poll_until(lambda: time.monotonic() > end)

    def close(self) -> float:
        """Close the partitions, as the engine does at the end; returns how many seconds it took."""
        began = time.monotonic()
        for part in self.parts.values():
            part.close()
        return time.monotonic() - began


def source_of(
    exchange: Exchange, shutdown: Shutdown, connections: int = 16, timeouts: Timeouts = TIMEOUTS
) -> CoinbaseSource:
    """A source of all the products of the exchange."""
    return CoinbaseSource(
        exchange.products,
        exchange.url,
        timeouts,
        shutdown,
        connections=connections,
        reconnect_delays=short_delays,
    )


@contextmanager
def polled(source: CoinbaseSource, *products: str) -> Iterator[Polled]:
    """Partitions of these products, or of all, as one worker has them; closed at the end of the block."""
    parts = {
        product: source.build_part("input", product, None) for product in products or source.list_parts()
    }
    worker = Polled(parts)
    try:
        yield worker
    finally:
        worker.close()


@pytest.mark.parametrize("connections", [1, 2, 16])
def test_gives_what_was_sent(connections: int) -> None:
    """All messages of all products are given, each product's in order, and no poll blocks."""
    with (
        Exchange(PRODUCTS, rate=150, levels=50) as exchange,
        polled(source_of(exchange, Shutdown(), connections)) as worker,
    ):
        worker.poll_until(lambda: all(len(messages) > 50 for messages in worker.messages.values()))
        exchange.pause()
        wanted = {product: handed_on(exchange, product)[0] for product in PRODUCTS}
        worker.poll_until(
            lambda: all(len(worker.messages[product]) >= len(wanted[product]) for product in wanted)
        )
        for product, frames in wanted.items():
            messages = [as_sent(each) for each in worker.messages[product] if not isinstance(each, Trade)]
            assert messages[: len(frames)] == list(map(decode, frames))
        assert worker.ended == []
        assert worker.slowest < NEVER_BLOCKS
        assert len(exchange.connections) == min(connections, len(PRODUCTS))


@pytest.mark.parametrize("trouble", ["handshake_hangs", "connection_refused", "silence_without_heartbeats"])
def test_never_blocks(trouble: str) -> None:
    """While the exchange hangs, is away or sends nothing, each poll returns at once."""
    with Exchange(PRODUCTS, rate=0, levels=50) as exchange:
        if trouble == "connection_refused":
            exchange.close_listener()
        else:
            exchange.fault(trouble, times=2)
        with polled(source_of(exchange, Shutdown())) as worker:
            worker.poll_for(1)
            assert worker.ended == []
            assert worker.slowest < NEVER_BLOCKS


@pytest.mark.parametrize(
    ("connections", "shared"),
    [
        (16, [1, 1, 1, 1, 1, 1, 1]),
        (7, [1, 1, 1, 1, 1, 1, 1]),
        (3, [3, 2, 2]),
        (1, [7]),
    ],
)
def test_products_share_connections_evenly(connections: int, shared: list[int]) -> None:
    """More products than connections share them, none of which has two more than another."""
    products = [f"A{number}-EUR" for number in range(7)]
    with (
        Exchange(products, rate=0, levels=10) as exchange,
        polled(source_of(exchange, Shutdown(), connections)) as worker,
    ):
        worker.poll_until(lambda: all(worker.messages.values()))
        carried = [connection.products for connection in exchange.connections]
    assert sorted(map(len, carried), reverse=True) == shared
    assert Counter(product for its in carried for product in its) == Counter(products)


def test_workers_share_connections_by_their_products() -> None:
    """Each worker has its own connections, as large a share of all as of the products, and one at least."""
    products = [f"A{number}-EUR" for number in range(7)]
    parts = [products[:4], products[4:6], products[6:]]
    with Exchange(products, rate=0, levels=10) as exchange:
        source = source_of(exchange, Shutdown(), connections=4)
        errors: list[Exception] = []

        def work(its: list[str]) -> None:
            try:
                with polled(source, *its) as worker:
                    worker.poll_until(lambda: all(worker.messages.values()))
            except Exception as error:
                errors.append(error)

        for its in parts:
            thread = Thread(target=work, args=[its])
            thread.start()
            thread.join()
        assert errors == []
        carried = [connection.products for connection in exchange.connections]
    assert sorted(carried) == [["A0-EUR", "A2-EUR"], ["A1-EUR", "A3-EUR"], ["A4-EUR", "A5-EUR"], ["A6-EUR"]]


def test_renewals_take_turns() -> None:
    """Connections of a source are not renewed together, but spread over the time between two renewals."""
    products = [f"A{number}-EUR" for number in range(4)]
    with Exchange(products, rate=0, levels=10) as exchange:
        source = source_of(exchange, Shutdown(), timeouts=Timeouts(refresh=1.0))
        with polled(source) as worker:
            worker.poll_until(lambda: len(exchange.attempts) >= 4 + 3 * 4)
        assert all(set(stats.resyncs) == {"refresh"} for stats in source.stats.values())
        renewals = exchange.attempts[4:]
    # Evenly they are 0.25 s apart; together they would come four at a time, three gaps in all.
    assert sum(later - sooner > 0.1 for sooner, later in pairwise(renewals)) > 3


@pytest.mark.parametrize("answers", [True, False])
def test_shutdown(answers: bool) -> None:
    """Once the shutdown is requested all partitions end, and closing takes less than a second.

    All connections are closed in good order, unless the exchange does not answer.
    """
    shutdown = Shutdown()
    with (
        Exchange(PRODUCTS, rate=100, levels=50) as exchange,
        polled(source_of(exchange, shutdown)) as worker,
    ):
        worker.poll_until(lambda: all(worker.messages.values()))
        if not answers:
            for connection in exchange.connections:
                connection.socket.loop.call_soon_threadsafe(connection.socket.transport.pause_reading)
        shutdown.request(0)
        worker.poll()
        assert worker.ended == list(PRODUCTS)
        assert worker.close() < 1.0
        if answers:
            wait_until(lambda: all(connection.close_code for connection in exchange.connections))
            assert {(c.close_code, c.closed_by_client) for c in exchange.connections} == {(1000, True)}


def test_resync() -> None:
    """A product whose book stays crossed is subscribed anew on its connection, the others lose nothing."""
    clock = Clock()
    with Exchange(PRODUCTS, rate=0, levels=50) as exchange:
        source = source_of(exchange, Shutdown(), connections=1)
        sink = ResyncSink(source, crossed_after=2.0, clock=clock)
        with polled(source) as worker:
            worker.poll_until(lambda: all(worker.messages.values()))
            partition = sink.build_part("resync", SECOND, None)
            for clock.now in (time.monotonic(), time.monotonic() + 2):
                partition.write_batch([CrossedBook(2.0, 1.0, crossing=1)])
            worker.poll_until(lambda: len(handed_on(exchange, SECOND)) == 2)
            assert [len(handed_on(exchange, product)) for product in (FIRST, THIRD)] == [1, 1]
            assert len(exchange.connections) == 1
            worker.poll_until(lambda: source.stats[SECOND].snapshots == 2)
            assert source.stats[SECOND].resyncs == {"crossed": 1}
