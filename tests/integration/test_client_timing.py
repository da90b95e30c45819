"""Timing of the websocket generator: when a connection is given up, and how long it then waits."""

import asyncio
import time
from collections.abc import Generator
from contextlib import AsyncExitStack
from itertools import count, pairwise
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve

from orderbook.coinbase.messages import Snapshot, Status
from orderbook.feed.errors import Closed, Stale, Unreachable
from orderbook.feed.limiter import Limiter
from orderbook.feed.silence import Timeouts
from tests.exchange import Exchange
from tests.exchange.market import Market
from tests.support.client import is_live, receive_all, receiver
from tests.support.relay import Relay
from tests.support.waiting import until

PRODUCTS = ("BTC-EUR", "ETH-EUR", "BTC-GBP")
LATE = 2.0  # seconds by which a busy machine may be late


def test_nothing_ever_comes() -> None:
    """A connection on which no frame ever comes is given up, `stale_after` seconds after it was made."""
    connected: list[float] = []

    async def stay_silent(websocket: ServerConnection) -> None:
        connected.append(time.monotonic())
        await websocket.wait_closed()

    async def scenario() -> None:
        async with serve(stay_silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            timeouts = Timeouts(stale_after=0.3)
            async with receiver(f"ws://127.0.0.1:{port}", *PRODUCTS, timeouts=timeouts) as client:
                await until(lambda: len(connected) > 3)
            assert all(0.3 <= later - sooner < 0.3 + LATE for sooner, later in pairwise(connected))
            assert {(lost.kind, lost.text) for lost in client.lost} == {(Stale, "no frame for 0.3 s")}

    asyncio.run(scenario())


def test_connection_falls_silent() -> None:
    """A connection that falls silent is given up `stale_after` seconds after its last frame, and replaced."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            timeouts = Timeouts(stale_after=0.5, refresh=1e9)
            async with receiver(exchange.url, *PRODUCTS, timeouts=timeouts) as client:
                await until(lambda: is_live(exchange, *PRODUCTS))
                exchange.fault("silence_without_heartbeats")
                await until(lambda: is_live(exchange, *PRODUCTS, after=0))
                assert 0.4 < exchange.attempts[1] - exchange.struck[0].when < 0.5 + LATE
                await receive_all(exchange, client, *PRODUCTS)
            assert [lost.text for lost in client.lost] == ["no frame for 0.5 s"]

    asyncio.run(scenario())


def test_handshake_hangs() -> None:
    """A handshake that is not answered is given up after `open_timeout` seconds."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, levels=50) as exchange:
            exchange.fault("handshake_hangs")
            async with receiver(exchange.url, *PRODUCTS, open_timeout=0.4) as client:
                await until(lambda: is_live(exchange, *PRODUCTS))
            assert 0.4 <= exchange.attempts[1] - exchange.attempts[0] < 0.4 + LATE
            assert [lost.kind for lost in client.lost] == [Unreachable]
            assert "timed out" in client.lost[0].text

    asyncio.run(scenario())


def test_server_that_accepts_slowly() -> None:
    """Where a server accepts few connections a second, and others wait in its queue, all are live in the end.

    With a timeout that did not grow, an attempt would be given up while it waits, and begun anew behind
    those that wait: here no more than five would ever be made.
    """
    products = [f"P{number}-EUR" for number in range(20)]

    async def scenario() -> None:
        with Exchange(products, levels=50, rate=0) as exchange, Relay(interval=0.1) as relay:
            relay.target, url = urlsplit(exchange.url).port, f"ws://127.0.0.1:{relay.port}"
            async with AsyncExitStack() as stack:
                receivers = [receiver(url, product, open_timeout=0.5) for product in products]
                clients = [await stack.enter_async_context(each) for each in receivers]
                await until(lambda: all(client.frames for client in clients))
                assert any(client.lost for client in clients), "no attempt took too long"

    asyncio.run(scenario())


def test_process_stands_still() -> None:
    """Where it was this process that stood still, the frames that wait are received before the check."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            timeouts = Timeouts(stale_after=0.3, refresh=1e9)
            async with receiver(exchange.url, *PRODUCTS, timeouts=timeouts) as client:
                await until(lambda: all(client.frames_of(product) for product in PRODUCTS))
                time.sleep(0.6)  # blocks the event loop, which is what is tested
                await receive_all(exchange, client, *PRODUCTS)
            assert client.lost == []
            assert len(exchange.connections) == 1

    asyncio.run(scenario())


def test_stream_breaks_off_before_the_next_snapshot() -> None:
    """A product that is subscribed anew is said to break off before its new snapshot, and no later.

    Here that snapshot is the first frame that comes of the connection.
    """
    product = "BTC-EUR"
    snapshot = Market(product, 1, levels=5, mid=600, spread_ticks=8, gap_ticks=4).snapshot()

    async def answer(socket: ServerConnection) -> None:
        async for request in socket:
            if '"unsubscribe"' not in str(request):
                await socket.send(snapshot, text=True)

    async def scenario() -> None:
        async with serve(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with receiver(f"ws://127.0.0.1:{port}", product) as client:
                await until(lambda: len(client.messages) == 1)
                client.feed.resync(product, asyncio.get_running_loop().time(), "crossed for 2.0 s")
                await until(lambda: len(client.messages) == 3)
                assert [type(message) for message in client.messages] == [Snapshot, Status, Snapshot]
                _, broken, renewed = (message.local_timestamp or 0 for message in client.messages)
                assert broken <= renewed

    asyncio.run(scenario())


def test_only_a_snapshot_resets_the_delays() -> None:
    """Delays grow while attempts end without a snapshot; after a connection that had one they start anew."""

    def growing() -> Generator[float]:
        return (0.1 * number for number in count(1))

    async def scenario() -> None:
        with Exchange(PRODUCTS, levels=50) as exchange:
            exchange.fault("dropped_at_once", times=2)
            exchange.fault("http_503")
            async with receiver(exchange.url, *PRODUCTS, reconnect_delays=growing) as client:
                await until(lambda: is_live(exchange, *PRODUCTS))
                exchange.fault("http_503", times=3)
                exchange.fault("closed_1001")
                await until(lambda: is_live(exchange, *PRODUCTS, after=2))
            assert [(lost.kind, round(lost.delay, 1)) for lost in client.lost] == [
                *((Unreachable, 0.1), (Closed, 0.2), (Closed, 0.3)),
                *((Closed, 0.1), (Unreachable, 0.2), (Unreachable, 0.3), (Unreachable, 0.4)),
            ]
            waits = [later - sooner for sooner, later in pairwise(exchange.attempts)]
            assert all(wait >= lost.delay for wait, lost in zip(waits, client.lost, strict=True))

    asyncio.run(scenario())


def test_connects_and_requests_are_limited() -> None:
    """Feeds that share a limiter of connects and one of requests stay within both, and all become live."""
    products = [f"A{number}-EUR" for number in range(20)]
    rate, burst = 20.0, 5

    async def scenario() -> None:
        with Exchange(products, levels=10, rate=0) as exchange:
            connects, requests = Limiter(rate, burst), Limiter(rate / 2, burst)
            async with AsyncExitStack() as stack:
                for product in products:
                    await stack.enter_async_context(
                        receiver(exchange.url, product, connects=connects, requests=requests)
                    )
                await until(lambda: all(map(exchange.live, products)))
            times = [request.when for request in exchange.requests]
            # What leaves evenly may arrive a little less so.
            assert exchange.attempts[-1] - exchange.attempts[0] > (20 - burst) / rate - 0.2
            assert times[-1] - times[0] > (20 - burst) / (rate / 2) - 0.2
            assert len(exchange.attempts) == len(times) == 20

    asyncio.run(scenario())


def test_reconnects_are_limited() -> None:
    """Attempts that follow a lost connection are limited like any other, however short the delay."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, levels=50) as exchange:
            exchange.fault("dropped_at_once", times=3)
            async with receiver(exchange.url, *PRODUCTS, connects=Limiter(rate=4, burst=1)):
                await until(lambda: is_live(exchange, *PRODUCTS))
            # Each is due 0.25 s after the one before it; the first may have been late.
            assert exchange.attempts[3] - exchange.attempts[0] > 0.5

    asyncio.run(scenario())
