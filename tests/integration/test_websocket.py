"""Websocket: addresses that lead nowhere, redirects, and peers that break the protocol or don't read."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from orderbook.feed.errors import Closed, Unreachable
from orderbook.feed.limiter import Limiter
from orderbook.feed.silence import Timeouts
from orderbook.feed.websocket import Policy, longer, open_websocket
from tests.exchange import Exchange
from tests.support.client import Lost, NotedTroubles, Receiver, receiver
from tests.support.waiting import until

PRODUCT = "BTC-EUR"
PATIENT = Timeouts(stale_after=1e9, refresh=1e9)


@contextmanager
def dead_address(family: int) -> Iterator[Any]:
    """An address of this machine that answers no connect: its queue of connections is full."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.bind((host, 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()


class Resolving(asyncio.SelectorEventLoop):
    """An event loop that looks every host up to the same addresses."""

    def __init__(self, addresses: list[tuple[int, Any]]) -> None:
        super().__init__()
        self._addresses = addresses

    async def getaddrinfo(self, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [
            (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
            for family, address in self._addresses
        ]


@pytest.mark.parametrize("family", [socket.AF_INET6, socket.AF_INET])
def test_first_address_leads_nowhere(family: int) -> None:
    """Where the first address of a host answers no connect, the next one is tried soon, not never."""

    async def scenario() -> None:
        async with receiver("ws://exchange.test/", PRODUCT, open_timeout=20.0) as client:
            await until(lambda: client.messages, timeout=10.0)
        assert client.lost == []

    with Exchange([PRODUCT], levels=10) as exchange, dead_address(family) as dead:
        live = (socket.AF_INET, ("127.0.0.1", urlsplit(exchange.url).port))
        with asyncio.Runner(loop_factory=lambda: Resolving([(family, dead), live])) as runner:
            runner.run(scenario())


def test_redirects() -> None:
    """One redirect is followed, a second one is not; each attempt takes a place of the limiter."""
    came: list[str] = []

    def redirect(connection: ServerConnection, request: Request) -> Response | None:
        came.append(request.path)
        if request.path == "/":
            return None
        response = connection.respond(302, "")
        response.headers["Location"] = request.path[:-1]
        return response

    async def scenario() -> None:
        async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=redirect) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            connects = Limiter(rate=1e-9, burst=4)
            policy = Policy(url + "a", connects, connects, NotedTroubles())
            await (await open_websocket(policy, 5.0)).end()
            with pytest.raises(Unreachable, match="redirected to"):
                await open_websocket(Policy(url + "aa", connects, connects, NotedTroubles()), 5.0)
            assert connects.take() > 0

    asyncio.run(scenario())
    assert came == ["/a", "/", "/aa", "/a"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\xf1\x01x", 1002),  # reserved bits
        (b"\x83\x01x", 1002),  # an opcode that there isn't
        (b"\x81\x81\0\0\0\0x", 1002),  # masked, by a server
        (b"\x09\x00", 1002),  # a ping in fragments
        (b"\x89\x7e\x00\x7e" + b"x" * 126, 1002),  # a ping that is too long
        (b"\x80\x01x", 1002),  # a continuation of nothing
        (b"\x01\x01x\x81\x01x", 1002),  # a new message in the middle of one
        (b"\x88\x01x", 1002),  # half a close code
        (b"\x88\x02\x00\x01", 1002),  # a close code that there isn't
        (b"\x88\x04\x03\xe8\xff\xff", 1007),  # a close reason that is not UTF-8
        (b"\x81\x7f" + (2**40).to_bytes(8, "big"), 1009),  # a frame of 1 TiB
        (b"\xc1\x02\xff\xff", 1002),  # deflated, it says
    ],
    ids=repr,
)
def test_broken_protocol(frame: bytes, code: int) -> None:
    """A peer that breaks the protocol and keeps the socket open is left at once, and the reason is said."""

    async def write_it(websocket: ServerConnection) -> None:
        websocket.transport.write(frame)

    lost = first_lost(write_it)
    assert lost.kind is Closed
    assert f"the connection was closed: sent {code}" in lost.text


def test_peer_that_closes_and_stays() -> None:
    """A peer that sends a close frame and keeps the socket open is left soon, and its reason is said."""

    async def close(websocket: ServerConnection) -> None:
        websocket.transport.write(b"\x88\x05\x03\xe9bye")

    assert "received 1001 (going away) bye" in first_lost(close).text


def test_peer_that_pings_and_never_reads() -> None:
    """A peer that doesn't read what it asks for is left before that fills the memory, and it is said."""

    async def ping(websocket: ServerConnection) -> None:
        websocket.transport.pause_reading()
        while True:
            websocket.transport.write((b"\x89\x7d" + b"x" * 125) * 1_000)
            await asyncio.sleep(0.001)

    assert "bytes were sent and not read" in first_lost(ping).text


def test_close_is_bounded() -> None:
    """A feed ends soon though its peer doesn't read, and what it was sent before waits for ever."""

    async def ignore(websocket: ServerConnection) -> None:
        websocket.transport.pause_reading()

    async def scenario() -> None:
        async with feed_of(ignore) as client:
            connection = await until(lambda: client.feed._connection)
            assert connection
            while not connection._websocket.paused:
                connection._websocket.transport.write(b"x" * 2**16)
            began = time.monotonic()
        assert time.monotonic() - began < 3.0

    asyncio.run(scenario())


@asynccontextmanager
async def feed_of(act: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[Receiver]:
    """A patient feed of a server that does something with each connection, and never closes one."""
    ended = asyncio.Event()

    async def handle(websocket: ServerConnection) -> None:
        acting = asyncio.ensure_future(act(websocket))
        await ended.wait()
        acting.cancel()
        websocket.transport.abort()

    async with serve(handle, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            async with receiver(url, PRODUCT, timeouts=PATIENT) as client:
                yield client
        finally:
            ended.set()


def first_lost(act: Callable[[ServerConnection], Awaitable[None]]) -> Lost:
    """Why a patient feed gives up the first connection to such a server."""

    async def scenario() -> Lost:
        async with feed_of(act) as client:
            return (await until(lambda: client.lost))[0]

    return asyncio.run(scenario())


def test_open_timeout_grows() -> None:
    """After a time-out the next attempt gets twice as long, up to a minute; after another error not."""

    def failed(cause: Exception) -> Unreachable:
        error = Unreachable("no connection")
        error.__cause__ = cause
        return error

    timeouts = [5.0]
    for _ in range(5):
        timeouts.append(longer(timeouts[-1], failed(TimeoutError())))
    assert timeouts == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert longer(5.0, failed(ConnectionRefusedError())) == 5.0
