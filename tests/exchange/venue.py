"""Protocol of the simulated exchange: who is connected and subscribed, and what is sent to whom.

Everything here runs in one asyncio loop. A connection subscribes, is acknowledged, gets the snapshot of
each of its products, its last trade if it asked for trades, and from then on what the product's market does.
A fault that waits for a handshake, a subscription or a live stream happens there (see `faults`).

Two tasks keep all the time there is: one moves the markets, the other sends the heartbeats.
"""

import asyncio
import json
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response
from websockets.protocol import State

from tests.exchange import pace
from tests.exchange.connection import Connection, Received, Sent
from tests.exchange.listener import Listener
from tests.exchange.market import Market
from tests.exchange.subscription import (
    HEARTBEAT,
    LEVEL2,
    MATCHES,
    Refused,
    Request,
    acknowledgement,
    parse,
    refusal,
)
from tests.exchange.trouble import Trouble

logger = logging.getLogger(__name__)

MOST_UNREAD = 128 * 2**20
"""Bytes that a reader may lag behind before its connection is dropped."""


class Venue:
    """The exchange's loop, its markets and its connections."""

    def __init__(
        self,
        markets: dict[str, Market],
        rate: float,
        tick: float | None,
        on_sent: Callable[[str, Sent], None],
        subscribe_within: float,
        most_products: int | None,
    ) -> None:
        self.markets = markets
        self.listener: Listener
        self.requests: list[Received] = []
        self.connections: list[Connection] = []
        self.readers: dict[str, list[Connection]] = {product: [] for product in markets}
        self.paused: set[str] = set()
        self.quiet: Counter[str] = Counter()
        self.trouble = Trouble(self)
        self._rate, self._tick = rate, tick
        self._on_sent = on_sent
        self._subscribe_within, self._most_products = subscribe_within, most_products
        self._tasks: set[asyncio.Task[Any]] = set()

    # What a connection goes through

    async def _receive(self, socket: ServerConnection, request: HttpRequest) -> Response | None:
        response: Response | None = await self.trouble.at_handshake(socket)
        return response

    async def _attend(self, socket: ServerConnection) -> None:
        connection = Connection(len(self.connections), socket, time.monotonic())
        self.connections.append(connection)
        await self.trouble.at_accepted(connection)
        loop = asyncio.get_running_loop()
        eviction = loop.call_later(self._subscribe_within, self._evict, connection)
        try:
            async for message in socket:
                self._answer(connection, message)
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
        for product in set().union(*connection.receiving.values()):
            self.readers[product].remove(connection)

    def _evict(self, connection: Connection) -> None:
        if not connection.products:
            self.spawn(connection.socket.close(1008, "no subscription"))

    def _answer(self, connection: Connection, message: str | bytes) -> None:
        try:
            decoded: Any = json.loads(message)
        except (ValueError, RecursionError):
            decoded = message
        self.requests.append(Received(time.monotonic(), connection.number, decoded))
        try:
            request = parse(decoded, self.markets, self._most_products)
        except Refused as refused:
            self.refuse(connection, str(refused))
            return
        if request.type == "unsubscribe":
            self.unsubscribe(connection, request)
            return
        connection.products += [p for p in request.products if p not in connection.products]
        if self.trouble.at_subscribe(connection, request):
            return
        begun = self.accept(connection, request)
        self.acknowledge(connection)
        self.begin(connection, begun)

    def unsubscribe(self, connection: Connection, request: Request) -> None:
        """End what a request names, and acknowledge it."""
        connection.unsubscribe(request)
        for product in request.products or self.markets:
            readers = self.readers[product]
            if connection in readers and not connection.receives(product):
                readers.remove(connection)
        self.acknowledge(connection)

    # What is sent to a connection

    def refuse(self, connection: Connection, reason: str) -> None:
        """Send that a request failed, and why."""
        self.send(connection, None, refusal(reason))

    def accept(self, connection: Connection, request: Request) -> list[str]:
        """Subscribe a connection; return the products that begin, as it lacked them on some channel."""
        has = connection.is_subscribed
        begun = [p for p in request.products if not all(has(channel, p) for channel in request.channels)]
        connection.subscribe(request)
        return begun

    def acknowledge(self, connection: Connection) -> None:
        """Send all that a connection is subscribed to."""
        self.send(connection, None, acknowledgement(connection.subscribed))

    def begin(self, connection: Connection, products: Iterable[str], padding: int = 0) -> None:
        """Send what snapshots are due, each with so many bytes of white space, and what follows them."""
        if connection.socket.state is not State.OPEN:
            return
        for product in products:
            is_due = connection.is_subscribed(LEVEL2, product) and product not in connection.live
            if is_due:
                snapshot = self.markets[product].snapshot()
                self.send(connection, product, snapshot[:1] + b" " * padding + snapshot[1:])
                connection.live.add(product)
            self.follow(connection, product)
            if is_due:
                self.trouble.at_stream(connection, product)

    def follow(self, connection: Connection, product: str, updates: bool = True) -> None:
        """Send a connection from now on what it is subscribed to of a product, the `updates` too."""
        if not connection.open:
            return
        for channel, products in connection.receiving.items():
            if connection.is_subscribed(channel, product) and (updates or channel != LEVEL2):
                if channel == MATCHES and product not in products:
                    self.send(connection, product, self.markets[product].last_match())
                products.add(product)
        if connection.receives(product) and connection not in self.readers[product]:
            self.readers[product].append(connection)

    def send(self, connection: Connection, product: str | None, frame: bytes) -> None:
        """Send a frame, of a product or of none, to a connection that is open."""
        self.send_all(connection, [(product, frame)])

    def send_all(self, connection: Connection, frames: Sequence[tuple[str | None, bytes]]) -> None:
        """Send frames in one go, each in a TLS record of its own, and put them on record just before."""
        socket = connection.socket
        # Python 3.12 leaves a closing transport in the selector for good that `writelines` is called on.
        if connection.muted or socket.state is not State.OPEN or socket.transport.is_closing():
            return
        if connection.silent:
            frames = [(product, frame) for product, frame in frames if product not in connection.silent]
        if connection.backlog is not None:
            connection.backlog += frames
            return
        if socket.transport.get_write_buffer_size() > MOST_UNREAD:
            socket.transport.abort()
            return
        for _product, frame in frames:
            socket.protocol.send_text(frame)
        for product, frame in frames:
            self.note(connection, product, frame)
        socket.transport.writelines(socket.protocol.data_to_send())

    def note(self, connection: Connection, product: str | None, frame: bytes) -> None:
        """Put a product's frame on record that is about to be sent."""
        if product is not None:
            subscription = connection.unsubscribed[product]
            self._on_sent(product, Sent(time.monotonic(), connection.number, frame, subscription))

    def publish(
        self, product: str, frame: bytes, channel: str = LEVEL2, without: Connection | None = None
    ) -> None:
        """Send a message to all who receive the product's on its channel, save one who shall miss it."""
        for connection in self.readers[product]:
            if product in connection.receiving[channel] and connection is not without:
                self.send(connection, product, frame)

    def newest(self, product: str) -> Connection | None:
        """The newest open connection that has had the product's snapshot."""
        for connection in reversed(self.readers[product]):
            if connection.socket.state is State.OPEN and product in connection.live:
                return connection
        return None

    # What happens by itself

    def step(self, product: str) -> None:
        """Move a product's market by one update, and send it, the trades that it covers before it."""
        for channel, frame in self._move(product):
            self.publish(product, frame, channel)

    def _move(self, product: str) -> list[tuple[str, bytes]]:
        market = self.markets[product]
        return [*((MATCHES, match) for match in market.matches()), (LEVEL2, market.update())]

    def _moves(self, product: str) -> bool:
        return product not in self.paused and not self.quiet[product]

    def _step_unless_paused(self, product: str) -> None:
        if self._moves(product):
            self.step(product)

    def _step_all(self, updates: int) -> None:
        """Move all markets by so many updates, and send each connection all of its products' at once."""
        moves = {
            product: [move for _ in range(updates) for move in self._move(product)]
            for product in filter(self._moves, self.markets)
        }
        for connection in [connection for connection in self.connections if connection.open]:
            its = [
                (product, frame)
                for product in connection.products
                for channel, frame in moves.get(product, ())
                if product in connection.receiving[channel]
            ]
            if its:
                self.send_all(connection, its)

    def beat(self, product: str) -> None:
        """Send a product's heartbeat."""
        self.publish(product, self.markets[product].heartbeat(), HEARTBEAT)

    async def run(
        self,
        stop: asyncio.Event,
        ready: Callable[[], None],
        port: int,
        compression: str | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Serve until `stop` is set; then close all that is open within two seconds."""
        self.listener = Listener(self._attend, self._receive, port, compression, tls)
        await self.listener.open()
        products = list(self.markets)
        self.spawn(pace.evenly(1.0, products, self.beat))
        if self._rate and self._tick:
            self.spawn(pace.at_ticks(self._tick, self._rate, self._step_all))
        elif self._rate:
            self.spawn(pace.evenly(self._rate, products, self._step_unless_paused))
        ready()
        await stop.wait()
        for task in self._tasks:
            task.cancel()
        self.listener.close()
        farewells = [asyncio.create_task(c.socket.close(1001)) for c in self.connections if c.open]
        if farewells:
            await asyncio.wait(farewells, timeout=2)
        await self.listener.stop()

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
