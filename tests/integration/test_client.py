"""Websocket generator against the simulated exchange: what it hands on, how it follows its session."""

import asyncio
import gc
import re
import socket
import time
from contextlib import aclosing

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from dataflow import mapper
from orderbook.book import OrderBookState
from orderbook.coinbase.exchange import decode
from orderbook.coinbase.messages import L2Update, Message, Snapshot
from orderbook.feed.client import Feed
from orderbook.feed.errors import Closed, Crossed, Refresh, Stale, Unreachable
from orderbook.feed.limiter import Limiter
from orderbook.feed.session import Session
from orderbook.feed.silence import Timeouts
from orderbook.feed.stats import FeedStats
from orderbook.feed.websocket import Policy, Websocket
from tests.exchange import Exchange
from tests.support.client import (
    TIMEOUTS,
    Lost,
    NotedTroubles,
    Receiver,
    as_sent,
    handed_on,
    is_live,
    receive_all,
    receiver,
    short_delays,
)
from tests.support.live import settings
from tests.support.processes import start
from tests.support.waiting import until

PRODUCTS = ("BTC-EUR", "ETH-EUR", "BTC-GBP")
FAULTY, *OTHERS = PRODUCTS


def test_exchange_goes_and_comes() -> None:
    """An exchange that drops all connections and refuses new ones is tried again until it is back."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            async with receiver(exchange.url, *PRODUCTS) as client:
                await until(lambda: is_live(exchange, *PRODUCTS))
                exchange.close_listener(drop=True)
                await until(lambda: len(client.lost) > 3)
                exchange.open_listener()
                await until(lambda: is_live(exchange, *PRODUCTS, after=0))
                await receive_all(exchange, client, *PRODUCTS)
            dropped, *refused = client.lost
            assert dropped.kind is Closed
            assert {lost.kind for lost in refused} == {Unreachable}
            assert all(f"no connection to {exchange.url}: " in lost.text for lost in refused)
            assert len(handed_on(exchange, FAULTY)) == 2

    asyncio.run(scenario())


# A product alone


def test_product_is_subscribed_anew() -> None:
    """A product whose book is wrong gets a new snapshot on the same connection; the others lose nothing."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            async with receiver(exchange.url, *PRODUCTS) as client:
                await until(lambda: all(client.frames_of(product) for product in PRODUCTS))
                client.feed.resync(FAULTY, time.monotonic(), "crossed for 2 s")
                await until(lambda: len(handed_on(exchange, FAULTY)) == 2)
                await receive_all(exchange, client, *PRODUCTS)
            assert client.lost == []
            assert len(exchange.attempts) == 1
            assert [len(handed_on(exchange, product)) for product in OTHERS] == [1, 1]
            assert [request.request["type"] for request in exchange.requests] == [
                "subscribe",
                "unsubscribe",
                "subscribe",
            ]
            assert client.stats[FAULTY].resyncs == {"crossed": 1}

    asyncio.run(scenario())


def test_book_that_is_wrong_again() -> None:
    """A product that needs a new snapshot twice in a row costs the connection; all its products come back."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            async with receiver(exchange.url, *PRODUCTS) as client:
                for snapshots in (1, 2):
                    await until(lambda n=snapshots: client.stats[FAULTY].snapshots == n)  # type: ignore[misc]
                    client.feed.resync(FAULTY, time.monotonic(), "crossed for 2 s")
                await until(lambda: is_live(exchange, *PRODUCTS, after=0))
                await receive_all(exchange, client, *PRODUCTS)
            assert client.lost == [Lost(list(PRODUCTS), Crossed, f"{FAULTY}: crossed for 2 s", 0.01)]
            assert len(exchange.attempts) == 2

    asyncio.run(scenario())


def test_product_that_falls_silent() -> None:
    """A product that is silent though its connection is not is subscribed anew; the others lose nothing."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            timeouts = Timeouts(stale_after=0.5, refresh=1e9)
            async with receiver(exchange.url, *PRODUCTS, timeouts=timeouts) as client:
                await until(lambda: all(client.frames_of(product) for product in PRODUCTS))
                exchange.fault("product_silent", FAULTY)
                await until(lambda: len(handed_on(exchange, FAULTY)) == 2)
                await receive_all(exchange, client, *PRODUCTS)
            assert client.lost == []
            assert [len(handed_on(exchange, product)) for product in OTHERS] == [1, 1]
            assert client.stats[FAULTY].resyncs == {"stale": 1}

    asyncio.run(scenario())


def test_refused_product_ends_alone() -> None:
    """A product that does not exist is asked for once; the others of its subscribe lose nothing."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            async with receiver(exchange.url, OTHERS[0], "XXX-XXX", FAULTY, OTHERS[1]) as client:
                await until(lambda: is_live(exchange, *PRODUCTS))
                await receive_all(exchange, client, *PRODUCTS)
                assert not client.task.done()
            assert client.lost == []
            assert len(exchange.attempts) == 1
            assert ["XXX-XXX" in request.request["product_ids"] for request in exchange.requests] == [
                True,
                False,
            ]
            assert client.feed.session.refuses("XXX-XXX")

    asyncio.run(scenario())


def test_subscribe_that_is_too_big() -> None:
    """A subscribe that is refused without a name is halved until the exchange takes it: all are live."""
    products = [f"A{number}-EUR" for number in range(10)]

    async def scenario() -> None:
        with Exchange(products, rate=0, levels=10, most_products=3) as exchange:
            async with receiver(exchange.url, *products) as client:
                await until(lambda: is_live(exchange, *products))
                await receive_all(exchange, client, *products)
            assert client.lost == []
            assert len(exchange.attempts) == 1

    asyncio.run(scenario())


def test_all_products_refused() -> None:
    """Where the exchange knows none of the products, the feed ends and closes its connection properly."""

    async def scenario() -> None:
        with Exchange(PRODUCTS) as exchange:
            async with receiver(exchange.url, "XXX-XXX", "YYY-YYY") as client:
                await until(client.task.done)
                client.task.result()
            assert client.lost == []
            (connection,) = exchange.connections
            await until(lambda: connection.close_code)
            assert (connection.close_code, connection.closed_by_client) == (1000, True)

    asyncio.run(scenario())


# Connections


def test_is_closed_in_good_order() -> None:
    """A feed that is asked for no more closes its connection with a close frame."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            async with receiver(exchange.url, *PRODUCTS) as client:
                await until(lambda: client.messages)
            (connection,) = exchange.connections
            await until(lambda: connection.close_code)
            assert (connection.close_code, connection.closed_by_client) == (1000, True)

    asyncio.run(scenario())


def updates(exchange: Exchange, product: str) -> list[Message]:
    """The updates of a product that the exchange sent, each once, whatever the number of connections."""
    frames = dict.fromkeys(sent.frame for sent in list(exchange.sent[product]))
    messages = [message for frame in frames if isinstance(message := decode(frame), L2Update)]
    return sorted(messages, key=lambda message: message.time or "")


async def receive_last(exchange: Exchange, client: Receiver) -> None:
    """Stop the market, and wait for the last update of each product."""
    exchange.pause()
    for product in PRODUCTS:
        last = updates(exchange, product)[-1]
        await until(lambda last=last: last in map(as_sent, client.messages[-1_000:]))  # type: ignore[misc]


def with_lines(client: Receiver, product: str) -> list[Message]:
    """The updates of a product that brought a line."""
    book: OrderBookState | None = None
    answered: list[Message] = []
    for message in client.messages:
        if message.product_id == product:
            book, summary = mapper(book, message)
            answered += [as_sent(message)] if summary and type(message) is L2Update else []
    return answered


def test_renewals_lose_no_line() -> None:
    """Through renewals each update brings its line, once; the connections are closed in good order."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            async with receiver(exchange.url, *PRODUCTS, timeouts=Timeouts(refresh=0.7)) as client:
                await until(lambda: len(client.lost) >= 4)
                await receive_last(exchange, client)
            assert {(lost.kind, lost.delay) for lost in client.lost} == {(Refresh, 0.0)}
            assert client.stats[FAULTY].resyncs == {"refresh": len(client.lost)}
            for product in PRODUCTS:
                assert with_lines(client, product) == updates(exchange, product)
            made = [connection for connection in exchange.connections if connection.products]
            await until(lambda: not any(connection.open for connection in made))
            assert {(c.close_code, c.closed_by_client) for c in made} == {(1000, True)}

    asyncio.run(scenario())


@pytest.mark.parametrize("faults", [["http_429"] * 3, ["snapshot_never"], ["dropped_at_once"]])
def test_renewal_that_fails(faults: list[str]) -> None:
    """Where no new connection can be had the old one goes on, which is said, and loses no line."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            timeouts = Timeouts(refresh=2.0, snapshot_timeout=0.5)
            offset = time.monotonic() / 2.0 % 1  # due in as many seconds
            async with receiver(exchange.url, *PRODUCTS, timeouts=timeouts, offset=offset) as client:
                await until(lambda: all(client.frames_of(product) for product in PRODUCTS))
                for fault in faults:
                    exchange.fault(fault, None if fault.startswith("http") else FAULTY)
                await until(lambda: any(lost.kind is Refresh for lost in client.lost))
                await receive_last(exchange, client)
            failed = client.lost[: len(faults)]
            assert client.lost[len(faults)].kind is Refresh
            assert all("; the connection that was to be renewed goes on" in lost.text for lost in failed)
            for product in PRODUCTS:
                assert with_lines(client, product) == updates(exchange, product)

    asyncio.run(scenario())


def test_connection_is_lost_in_a_renewal() -> None:
    """Where the old connection is lost and the new one has all snapshots, it goes on with that at once."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            timeouts = Timeouts(stale_after=3.0, refresh=2.0)
            offset = time.monotonic() / 2.0 % 1  # due in as many seconds
            async with receiver(exchange.url, *PRODUCTS, timeouts=timeouts, offset=offset) as client:
                await until(lambda: is_live(exchange, *PRODUCTS))
                exchange.fault("silence_without_heartbeats", FAULTY)
                await until(lambda: client.lost)
                assert client.lost[0].kind is Refresh
                count = len(client.messages)
                await until(lambda: len(client.messages) > count + 100)
            assert len(exchange.attempts) == 2

    asyncio.run(scenario())


def test_no_time_at_all() -> None:
    """A connection that is stale as soon as it is made is given up like any other."""

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=0, levels=30) as exchange:
            async with receiver(exchange.url, *PRODUCTS, timeouts=Timeouts(stale_after=1e-12)) as client:
                await until(lambda: len(client.lost) >= 3)
            assert {lost.kind for lost in client.lost} == {Stale}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "address", ["ws://127.0.0.1:99999/", "http://[x", f"ws://{'x' * 80}/", "http://u:secret@h/?k=secret"]
)
def test_redirect_to_no_address(address: str) -> None:
    """A redirect to an address that is none is retried, as any other failure to connect."""

    def redirect(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(302, "")
        response.headers["Location"] = address
        return response

    async def scenario() -> None:
        async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=redirect) as server:
            port = server.sockets[0].getsockname()[1]
            async with receiver(f"ws://127.0.0.1:{port}", *PRODUCTS) as client:
                await until(lambda: len(client.lost) >= 3)
            assert {lost.kind for lost in client.lost} == {Unreachable}
            assert all(
                len(lost.text) > len(f"no connection to ws://127.0.0.1:{port}: ") for lost in client.lost
            )
            assert "secret" not in client.lost[0].text

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("socks5://127.0.0.1:9", "python-socks"),
        ("http://[x", "IPv6"),
        ("ftp://x", "ftp"),
        ("http://me:secret@{refusing}", "through the proxy http://{refusing}: .*Connect call failed"),
    ],
)
def test_proxy_that_cannot_be_used(proxy: str, reason: str) -> None:
    """A proxy of the environment that can't be used is logged as the reason why there is no connection."""
    with Exchange(PRODUCTS) as exchange, socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and doesn't listen
        refusing = f"127.0.0.1:{held.getsockname()[1]}"
        env = settings(exchange) | {"http_proxy": proxy.format(refusing=refusing)}
        with start(["dataflow:flow"], env) as process:
            line = process.stderr.wait_for("no connection to ")
            process.interrupt()
            assert process.wait().code == 0
        assert re.search(reason.format(refusing=refusing), line)
        assert "secret" not in line
        assert exchange.attempts == []


@pytest.mark.parametrize("faults", [("closed_1001", "http_503"), ("closed_1006",), ("price_nan",)])
def test_leaves_nothing_behind(faults: tuple[str, ...]) -> None:
    """A connection that was given up is released at once, not when the garbage collector comes by."""

    def held() -> int:
        return sum(type(thing) is Websocket for thing in gc.get_objects())

    async def scenario() -> None:
        with Exchange(PRODUCTS, rate=100, levels=50) as exchange:
            unlimited = Limiter(rate=1e6)
            policy = Policy(
                exchange.url, unlimited, unlimited, NotedTroubles(), reconnect_delays=short_delays
            )
            session = Session(PRODUCTS, {product: FeedStats() for product in PRODUCTS}, TIMEOUTS)
            snapshots = 0
            async with aclosing(Feed(session, policy).ws_agen()) as messages:
                async for message, _frame in messages:
                    if type(message) is Snapshot and message.product_id == FAULTY:
                        snapshots += 1
                        if snapshots == 5:
                            break
                        for fault in faults:
                            exchange.fault(fault)
                # A debugging event loop refers to the connection before this one a little longer.
                assert held() <= 2

    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()
