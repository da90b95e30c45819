"""The async websocket generator: a session's messages, connection after connection."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from functools import cached_property
from ssl import create_default_context
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import backoff
from websockets.exceptions import ConnectionClosed, WebSocketException

from orderbook.coinbase import exchange
from orderbook.coinbase.messages import Message
from orderbook.feed.errors import Closed, FeedError, Stale, Unreachable, escaped
from orderbook.feed.limiter import Limiter
from orderbook.feed.session import Session
from orderbook.feed.troubles import Troubles

CLOSE_TIMEOUT = 0.5  # seconds; a run must end within one


def reconnect_delays() -> Generator[float]:
    """Seconds between attempts: at random up to 1 first, so that connections spread, then 0.5 to 5."""
    return backoff(initial_delay=1.0, min_delay=0.5, max_delay=5.0)


@dataclass(frozen=True)
class Policy:
    """Where and how the feeds of a process connect. The limiters and the log are shared by all of them."""

    url: str
    connects: Limiter
    requests: Limiter
    troubles: Troubles
    open_timeout: float = 5.0
    reconnect_delays: Callable[[], Generator[float]] = reconnect_delays

    @cached_property
    def tls(self) -> dict[str, Any]:
        """One TLS context for all connects: to read the system's certificates takes some 20 ms each time."""
        return {"ssl": create_default_context()} if self.url.startswith("wss:") else {}


class Feed:
    """The messages of a session's products, for as long as they are asked for.

    All of it belongs to one event loop; `resync` may be called in its thread while the loop stands still.
    """

    def __init__(self, session: Session, policy: Policy) -> None:
        self.session = session
        self._policy = policy
        self._connection: _Connection | None = None

    def resync(self, product_id: str, since: float, why: str) -> None:
        """Subscribe a product anew whose book has been wrong `since` a time of the monotonic clock."""
        if self._connection:
            self._connection.resync(product_id, since, why)

    async def ws_agen(self) -> AsyncGenerator[tuple[Message, bytes]]:
        """Yield each message of the products, with the frame that it came in.

        After each connect a product's snapshot comes first. Every `FeedError` is followed by the next
        attempt. Ends once the exchange has refused all products.
        """
        policy, session = self._policy, self.session
        delays = policy.reconnect_delays()
        while not session.ended:
            await asyncio.sleep(session.idle_for(asyncio.get_running_loop().time()))
            await asyncio.sleep(policy.connects.reserve())
            try:
                self._connection = _Connection(session, policy, await _connect(policy))
                try:
                    while message := await self._connection.receive():
                        yield message
                finally:
                    await self._disconnect()
            except FeedError as error:
                if session.synced:
                    delays = policy.reconnect_delays()
                session.disconnected(error)
                delay = next(delays) if error.is_trouble else 0.0
                policy.troubles.report(session.product_ids, error, delay)
                await asyncio.sleep(delay)
            # The library's connection and its error refer to each other, and nobody else does by now. Left to
            # the collector's own time, the buffers of hundreds would pile up, and leave memory full of holes.
            gc.collect()

    async def _disconnect(self) -> None:
        if connection := self._connection:
            self._connection = None
            await connection.close()


async def _connect(policy: Policy) -> ClientConnection:
    try:
        return await connect(
            policy.url,
            open_timeout=policy.open_timeout,
            close_timeout=CLOSE_TIMEOUT,
            ping_interval=None,  # the exchange's heartbeats show more: that its market data is alive
            max_size=exchange.MAX_SIZE,
            **policy.tls,
        )
    except (OSError, WebSocketException, ValueError, ImportError) as error:
        # ValueError: a redirect or a proxy with an address that is none; ImportError: a SOCKS proxy.
        raise Unreachable(f"no connection to {policy.url}: {escaped(error)}") from error


class _Connection:
    """A websocket that follows the rules of a session."""

    def __init__(self, session: Session, policy: Policy, websocket: ClientConnection) -> None:
        self._session = session
        self._requests = policy.requests
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        self._error: Exception | None = None  # why it was given up; a `FeedError`, or the unexpected
        self._closing: asyncio.Task[None] | None = None
        self._has_request = asyncio.Event()
        self._has_request.set()
        session.connected(self._loop.time())
        self._timer: asyncio.Handle = self._loop.call_soon(self._set_timer)
        self._sender = self._loop.create_task(self._send_requests())

    async def receive(self) -> tuple[Message, bytes] | None:
        """The next message that is to be handed on, with its frame; None where no product is left.

        Raises a `FeedError` where the connection is to be replaced.
        """
        session = self._session
        try:
            while not session.ended:
                frame = await self._websocket.recv(decode=False)
                if self._error:  # frames that came before it was given up may still wait
                    raise self._error
                message = session.receive(frame, self._loop.time())
                if session.has_request:
                    self._has_request.set()
                if message is not None:
                    return message, frame
            return None
        except ConnectionClosed as error:
            raise self._error or Closed(f"the connection was closed: {escaped(error)}") from error

    async def close(self) -> None:
        """Close it in good order, within `CLOSE_TIMEOUT`."""
        self._timer.cancel()
        self._sender.cancel()
        await self._websocket.close()

    def resync(self, product_id: str, since: float, why: str) -> None:
        try:
            self._session.resync(product_id, since, why, self._loop.time())
        except FeedError as error:
            self._give_up(error)
        else:
            self._has_request.set()

    def _give_up(self, error: Exception) -> None:
        """Have `receive` raise the error: at once, or when a connection that still speaks is closed."""
        self._error = error
        if isinstance(error, Stale):
            self._websocket.transport.abort()
        else:
            self._closing = self._loop.create_task(self._websocket.close())

    async def _send_requests(self) -> None:
        try:
            while True:
                await self._has_request.wait()
                self._has_request.clear()
                while self._session.has_request:
                    await asyncio.sleep(self._requests.reserve())
                    if request := self._session.next_request(self._loop.time()):
                        await self._websocket.send(request)
                self._set_timer()
        except ConnectionClosed:
            pass  # `receive` raises it too
        except Exception as error:
            self._give_up(error)

    # One timer a connection, for whatever is due first; it is set anew when it runs out, not at each frame.

    def _set_timer(self) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_at(self._session.deadline, self._await_frames)

    def _await_frames(self) -> None:
        # If it was this process that stood still, frames are waiting: they are received before the check.
        self._timer = self._loop.call_later(0.01, self._check)

    def _check(self) -> None:
        try:
            self._session.check(self._loop.time())
            if self._session.has_request:
                self._has_request.set()
            self._set_timer()
        except Exception as error:
            self._give_up(error)
