"""When the feed gives a connection up, and how long it then waits: watchdog, backoff, pacing."""

import asyncio
import time
from collections.abc import Generator
from contextlib import AsyncExitStack
from itertools import count, islice, pairwise
from random import Random
from threading import Thread

import pytest
from websockets.asyncio.server import ServerConnection, serve

from orderbook.feed.client import Stale, Unreachable, retry_delays
from orderbook.feed.limiter import Pacer
from tests.exchange import Exchange
from tests.exchange.market import market
from tests.support.client import PRODUCT, hear_all, hearing, live_on, until

LATE = 1.0  # seconds by which a busy machine may be late


def test_silence() -> None:
    """A connection that falls silent is given up after `stale_after` seconds, counted from its last frame."""

    async def scenario() -> None:
        with Exchange([PRODUCT], rate=100) as exchange:
            async with hearing(exchange.url, stale_after=0.5) as heard:
                await until(lambda: heard.messages)
                exchange.fault("silence_without_heartbeats")
                await until(lambda: live_on(exchange, attempt=2))
                assert 0.4 < exchange.attempts[1] - exchange.struck[0].when < 0.5 + LATE
                await hear_all(exchange, heard)
                assert [str(trouble) for trouble in heard.troubles] == ["no frame for 0.5 s"]

    asyncio.run(scenario())


def test_nothing_ever_came() -> None:
    """A connection on which nothing ever comes is given up just as well."""
    connected: list[float] = []

    async def say_nothing(websocket: ServerConnection) -> None:
        connected.append(time.monotonic())
        await websocket.wait_closed()

    async def scenario() -> None:
        async with (
            serve(say_nothing, "127.0.0.1", 0) as server,
            hearing(url(server.sockets[0].getsockname()[1]), stale_after=0.3) as heard,
        ):
            await until(lambda: len(connected) > 3)
            assert all(0.3 <= later - sooner < 0.3 + LATE for sooner, later in pairwise(connected))
            assert {type(trouble) for trouble in heard.troubles} == {Stale}

    asyncio.run(scenario())


def test_handshake_hangs() -> None:
    """An exchange that takes the connection, and does not answer, is given up after `open_within` seconds."""

    async def scenario() -> None:
        with Exchange([PRODUCT]) as exchange:
            exchange.fault("handshake_hangs")
            async with hearing(exchange.url, open_within=0.4) as heard:
                await until(lambda: live_on(exchange, attempt=2))
                assert 0.4 <= exchange.attempts[1] - exchange.attempts[0] < 0.4 + LATE
                assert [type(trouble) for trouble in heard.troubles] == [Unreachable]

    asyncio.run(scenario())


def test_no_snapshot() -> None:
    """A connection without a snapshot is given up after `snapshot_within` seconds, whatever else comes."""

    async def scenario() -> None:
        with Exchange([PRODUCT]) as exchange:
            exchange.fault("snapshot_never")
            async with hearing(exchange.url, snapshot_within=1.2) as heard:
                await until(lambda: live_on(exchange, attempt=2))
                assert b'"heartbeat"' in exchange.sent[PRODUCT][0].frame
                assert 1.2 <= exchange.attempts[1] - exchange.connections[0].connected < 1.2 + LATE
                await hear_all(exchange, heard)
                assert [str(trouble) for trouble in heard.troubles] == ["no snapshot within 1.2 s"]

    asyncio.run(scenario())


def test_quiet_market() -> None:
    """A market that stands still is left alone, as long as heartbeats come."""

    async def send_heartbeats(websocket: ServerConnection) -> None:
        quiet = market(PRODUCT, seed=1, levels=10)
        await websocket.send(quiet.snapshot(), text=True)
        while True:
            await websocket.send(quiet.heartbeat(), text=True)
            await asyncio.sleep(0.1)

    async def scenario() -> None:
        async with (
            serve(send_heartbeats, "127.0.0.1", 0) as server,
            hearing(url(server.sockets[0].getsockname()[1]), stale_after=0.8) as heard,
        ):
            began = time.monotonic()
            await until(lambda: time.monotonic() - began > 3 * 0.8)
            assert heard.troubles == []
            assert len(heard.messages) > 5

    asyncio.run(scenario())


def test_standing_still() -> None:
    """When it was this process that stood still, the frames that wait are taken in before any verdict."""

    async def scenario() -> None:
        with Exchange([PRODUCT], rate=100) as exchange:
            async with hearing(exchange.url, stale_after=0.3) as heard:
                await until(lambda: heard.messages)
                time.sleep(0.6)  # blocks the feed's loop: that is what is tried here
                await hear_all(exchange, heard)
                assert heard.troubles == []

    asyncio.run(scenario())


def url(port: int) -> str:
    return f"ws://127.0.0.1:{port}"


def test_only_a_snapshot_resets_the_delays() -> None:
    """Delays grow while connections end without a snapshot, and start anew once there was one."""
    taken: list[int] = []

    def growing() -> Generator[float]:
        for attempt in count():
            taken.append(attempt)
            yield 0.2 * (attempt + 1)

    async def scenario() -> None:
        with Exchange([PRODUCT]) as exchange:
            exchange.fault("dropped_at_once", times=2)
            exchange.fault("http_503")
            async with hearing(exchange.url, retry_delays=growing) as heard:
                await until(lambda: heard.messages)
                assert taken == [0, 1, 2]
                waited = [later - sooner for sooner, later in pairwise(exchange.attempts)]
                assert all(0.2 * i <= wait < 0.2 * i + LATE for i, wait in enumerate(waited, 1))
                exchange.fault("closed_1001")
                await until(lambda: live_on(exchange, attempt=5))
                assert taken == [0, 1, 2, 0]

    asyncio.run(scenario())


def test_delays() -> None:
    """The first is at random below a second, the others grow from half a second to ten."""
    assert len({next(retry_delays()) for _ in range(10)}) > 1
    first, *rest = islice(retry_delays(), 15)
    assert 0 <= first <= 1
    assert rest == sorted(rest)
    assert 0.5 <= rest[0] < 1
    assert rest[-1] == 10.0


def assert_paced(moments: list[float], rate: float, burst: int) -> None:
    """However long the time between two of the moments, there are not too many from the one to the other."""
    for i, sooner in enumerate(moments):
        for j, later in enumerate(moments[i:], 1):
            assert j <= burst + rate * (later - sooner) + 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_pacer(seed: int) -> None:
    """Places are given up to a burst at once, at the rate after it, and never later than that allows."""
    random = Random(seed)
    now = 1_000.0
    pacer = Pacer(rate=5, burst=4, clock=lambda: now)
    moments: list[float] = []
    for _ in range(300):
        now += random.choice([0.0, 0.0, 0.0, 0.05, 0.2, 3.0])
        moments.append(now + pacer.reserve())
        spare = [4 + 5 * (moments[-1] - sooner) - i for i, sooner in enumerate(reversed(moments), 1)]
        assert min(spare) >= -1e-6
        assert moments[-1] == now or min(spare) <= 1e-6
    assert moments == sorted(moments)


def test_pacer_with_threads() -> None:
    """Threads that ask at the same time get places of their own."""
    pacer = Pacer(rate=10, burst=5, clock=lambda: 1_000.0)
    waits: list[float] = []
    threads = [Thread(target=lambda: waits.extend(pacer.reserve() for _ in range(200))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([0.0] * 5 + [i / 10 for i in range(1, 1_596)])


def test_products_connect_in_turn() -> None:
    """Forty products at once stay below 8 connects a second in bursts of 20, and all get their turn."""
    products = [f"A{i}-EUR" for i in range(40)]

    async def scenario() -> None:
        with Exchange(products, levels=10, rate=0) as exchange:
            pacer = Pacer()
            async with AsyncExitStack() as stack:
                for product in products:
                    await stack.enter_async_context(hearing(exchange.url, product, pacer=pacer))
                await until(lambda: all(exchange.live(product) for product in products))
            assert_paced(exchange.attempts, rate=8, burst=20)
            assert exchange.attempts[39] - exchange.attempts[0] < 24 / 7.5 + LATE

    asyncio.run(scenario())


def test_reconnects_take_their_turn() -> None:
    """Attempts that follow trouble are paced like any other, however short the delay."""

    async def scenario() -> None:
        with Exchange([PRODUCT]) as exchange:
            exchange.fault("dropped_at_once", times=3)
            async with hearing(exchange.url, pacer=Pacer(rate=4, burst=1)):
                await until(lambda: live_on(exchange, attempt=4))
            # Each is due 0.25 s after the one before it; the first may have been late.
            assert exchange.attempts[3] - exchange.attempts[0] > 0.5

    asyncio.run(scenario())
