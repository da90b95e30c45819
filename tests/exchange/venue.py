"""The exchange's side of the wire: who is connected, who hears what, and when.

Everything here runs in one asyncio loop. A connection subscribes, is acknowledged, gets the
snapshot of each of its products and from then on what the product's market says. A fault that
waits for a handshake, a subscription or a live stream takes its place there (see `faults`).

Two tasks keep all the time there is: one moves the markets, one sends the heartbeats, each
going round the products in even steps and making up for what it was late.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request, Response
from websockets.protocol import State

from tests.exchange.connection import Connection, Sent
from tests.exchange.market import Market
from tests.exchange.subscription import Refused, Subscription, refusal, understood
from tests.exchange.trouble import Trouble

logger = logging.getLogger(__name__)

handshakes = logging.getLogger(f"{__name__}.handshakes")
handshakes.setLevel(logging.CRITICAL)  # a client that leaves in the middle is no error here

MOST_UNREAD = 128 * 2**20
"""Bytes that a reader may lag behind before it is cut off."""

MATCH_EVERY = 53
"""A trade message follows every so many updates; a prime, so that every product gets its turn."""

AT_ONCE = 64
"""Steps made in one go by a task that is late, before others get their turn."""


class Venue:
    """The exchange's loop, its markets and its connections."""

    def __init__(
        self,
        markets: dict[str, Market],
        rate: float,
        on_sent: Callable[[str, Sent], None],
        port: int = 0,
        compression: str | None = "deflate",
        subscribe_within: float = 5.0,
    ) -> None:
        self.markets = markets
        self.rate = rate
        self.on_sent = on_sent
        self.port = port
        self.compression = compression
        self.subscribe_within = subscribe_within
        self.paused: set[str] = set()
        self.quiet: Counter[str] = Counter()
        self.attempts: list[float] = []
        self.connections: list[Connection] = []
        self.readers: dict[str, list[Connection]] = {product: [] for product in markets}
        self.trouble = Trouble(self)
        self.steps = 0
        self._servers: list[Server] = []
        self._transports: set[ServerConnection] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    # What a connection goes through

    async def open_listener(self) -> None:
        """Listen, on the same port as before, unless it listens already."""
        venue = self

        class Attempt(ServerConnection):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                venue.attempts.append(time.monotonic())
                venue._transports.add(self)
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                venue._transports.discard(self)
                super().connection_lost(exc)

        if self.listening:
            return
        server = await serve(
            self._attend,
            "127.0.0.1",
            self.port,
            process_request=self._receive,
            compression=self.compression,
            create_connection=Attempt,
            open_timeout=None,
            ping_interval=None,
            close_timeout=1,
            logger=handshakes,
            backlog=1024,
        )
        self.port = server.sockets[0].getsockname()[1]
        self._servers.append(server)

    @property
    def listening(self) -> bool:
        """Whether connects are not refused."""
        return any(server.is_serving() for server in self._servers)

    def close_listener(self) -> None:
        """Stop listening, so that connects are refused; open connections go on."""
        for server in self._servers:
            server.server.close()  # unlike its wrapper's `close`, done when it returns

    def drop_all(self) -> None:
        """Drop every connection without a close frame."""
        for socket in list(self._transports):
            socket.transport.abort()

    async def _receive(self, socket: ServerConnection, request: Request) -> Response | None:
        response: Response | None = await self.trouble.at_handshake(socket)
        return response

    async def _attend(self, socket: ServerConnection) -> None:
        connection = Connection(len(self.connections), socket, time.monotonic())
        self.connections.append(connection)
        await self.trouble.at_accepted(connection)
        loop = asyncio.get_running_loop()
        eviction = loop.call_later(self.subscribe_within, self._evict, connection)
        try:
            async for message in socket:
                self._subscribe(connection, message)
        except ConnectionClosedError:
            pass  # its close code is kept below, like that of an orderly end
        except Exception:
            logger.exception("connection %d", connection.number)
            await socket.close(1011)
        eviction.cancel()
        await socket.wait_closed()
        close = socket.protocol.close_rcvd
        connection.closed_by_client = bool(socket.protocol.close_rcvd_then_sent)
        connection.close_code = close.code if close else 1006
        # The record stays for good; without its compressors it is a few kilobytes.
        socket.protocol.extensions = []
        for product in connection.streaming | connection.heartbeats:
            if connection in self.readers[product]:
                self.readers[product].remove(connection)

    def _evict(self, connection: Connection) -> None:
        if not connection.products:
            self.spawn(connection.socket.close(1008, "no subscription"))

    def _subscribe(self, connection: Connection, message: str | bytes) -> None:
        try:
            subscription = understood(message, self.markets)
        except Refused as refused:
            self.refuse(connection, str(refused))
            return
        connection.products += [p for p in subscription.products if p not in connection.products]
        if self.trouble.at_subscribe(connection, subscription):
            return
        self.acknowledge(connection, subscription)
        for product in subscription.products:
            self.introduce(connection, product, subscription)

    # What is said to a connection

    def refuse(self, connection: Connection, reason: str) -> None:
        """Say that a subscribe failed, and why."""
        broadcast([connection.socket], refusal(reason))

    def acknowledge(self, connection: Connection, subscription: Subscription) -> None:
        """Send the acknowledgement of a subscribe."""
        broadcast([connection.socket], subscription.acknowledgement())

    def introduce(
        self, connection: Connection, product: str, subscription: Subscription, padding: int = 0
    ) -> None:
        """Send a product's snapshot and from now on all that its market says.

        The snapshot is padded with as many bytes of white space as wished.
        """
        if subscription.level2:
            snapshot = self.markets[product].snapshot()
            self.send(connection, product, snapshot[:1] + b" " * padding + snapshot[1:])
            connection.live.add(product)
        self.follow(connection, product, subscription)
        if subscription.level2:
            self.trouble.at_stream(connection, product)

    def follow(self, connection: Connection, product: str, subscription: Subscription) -> None:
        """Let a connection hear what is said of a product from now on."""
        if subscription.level2:
            connection.streaming.add(product)
        if subscription.heartbeat:
            connection.heartbeats.add(product)
        if connection not in self.readers[product] and connection.open:
            self.readers[product].append(connection)

    def send(self, connection: Connection, product: str, frame: bytes) -> None:
        """Send a frame to a connection that is open, and put it on record."""
        socket = connection.socket
        if connection.muted or socket.state is not State.OPEN:
            return
        if connection.backlog is not None:
            connection.backlog.append((product, frame))
            return
        if socket.transport.get_write_buffer_size() > MOST_UNREAD:
            socket.transport.abort()
            return
        self.note(connection, product, frame)
        broadcast([socket], frame, text=True)

    def note(self, connection: Connection, product: str, frame: bytes) -> None:
        """Put a frame on record that is about to be sent."""
        self.on_sent(product, Sent(time.monotonic(), connection.number, frame))

    def say(self, product: str, frame: bytes, deaf: Connection | None = None) -> None:
        """Send an update to all who stream the product, but for the one who shall miss it."""
        for connection in self.readers[product]:
            if product in connection.streaming and connection is not deaf:
                self.send(connection, product, frame)

    def newest(self, product: str) -> Connection | None:
        """The newest open connection that has had the product's snapshot."""
        for connection in reversed(self.readers[product]):
            if connection.socket.state is State.OPEN and product in connection.live:
                return connection
        return None

    # What happens by itself

    def step(self, product: str) -> None:
        """Move a product's market by one update."""
        market = self.markets[product]
        self.say(product, market.update())
        self.steps += 1
        if self.steps % MATCH_EVERY == 0:
            self.say(product, market.match())

    def beat(self, product: str) -> None:
        """Send a product's heartbeat to those who subscribed to it."""
        frame = self.markets[product].heartbeat()
        for connection in self.readers[product]:
            if product in connection.heartbeats:
                self.send(connection, product, frame)

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until told to stop; then close all that is open within two seconds."""
        await self.open_listener()
        self.spawn(self._go_round(1.0, self.beat))
        if self.rate:
            self.spawn(self._go_round(self.rate, self._step_unless_paused))
        ready()
        await stop.wait()
        for task in self._tasks:
            task.cancel()
        self.close_listener()
        farewells = [asyncio.create_task(c.socket.close(1001)) for c in self.connections if c.open]
        if farewells:
            await asyncio.wait(farewells, timeout=2)
        self.drop_all()
        for server in self._servers:
            server.close(close_connections=False)
            await server.wait_closed()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something beside the rest, at most until the exchange stops."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("the exchange failed", exc_info=error)

    def _step_unless_paused(self, product: str) -> None:
        if product not in self.paused and not self.quiet[product]:
            self.step(product)

    async def _go_round(self, rate: float, action: Callable[[str], None]) -> None:
        """Do something `rate` times a second for each product, in even steps."""
        loop = asyncio.get_running_loop()
        products = list(self.markets)
        pace = rate * len(products)
        start, done = loop.time(), 0
        while True:
            due = int((loop.time() - start) * pace)
            for turn in range(done, min(due, done + AT_ONCE)):
                action(products[turn % len(products)])
            done = min(due, done + AT_ONCE)
            await asyncio.sleep(max(0.0, start + (done + 1) / pace - loop.time()))
