"""Connection that follows the rules of a session: a websocket, a timer, and a task that sends requests."""

import asyncio
import time

from websockets.exceptions import ConnectionClosed

from orderbook.coinbase.messages import Message
from orderbook.feed.errors import Closed, FeedError, Stale, escaped
from orderbook.feed.limiter import Limiter
from orderbook.feed.session import Session
from orderbook.feed.websocket import Websocket
from orderbook.recording.line import status_frame


class Connection:
    """A websocket that follows the rules of a session; made in the event loop that it belongs to."""

    def __init__(self, session: Session, requests: Limiter, websocket: Websocket) -> None:
        self.session = session
        self._requests = requests
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        self._received: tuple[bytes, int] | None = None  # a frame that is not judged yet, and its arrival
        self._error: Exception | None = None  # why it was given up; a `FeedError`, or the unexpected
        self._closing: asyncio.Task[None] | None = None
        self._has_request = asyncio.Event()
        self._has_request.set()
        session.connected(self._loop.time())
        self._timer: asyncio.Handle = self._loop.call_soon(self._set_timer)
        self._sender = self._loop.create_task(self._send_requests())

    async def receive(self) -> tuple[Message, bytes] | None:
        """The next message that is to be handed on, with its frame; None where no product is left.

        The line of a recording takes the place of the frame where a product's stream breaks off.

        Raises a `FeedError` where the connection is to be replaced. Nothing is lost where it is cancelled.
        """
        session = self.session
        try:
            while True:
                if session.breaks:  # before the frame that came meanwhile: it may be the next snapshot
                    return next_break(session, self._received)
                if session.ended:
                    return None
                if self._received is None:
                    self._received = await self._websocket.receive()
                    continue
                (frame, arrival), self._received = self._received, None
                if self._error:  # frames that came before it was given up may still wait
                    raise self._error
                message = session.receive(frame, self._loop.time())
                if session.has_request:
                    self._has_request.set()
                if message is not None:
                    message.local_timestamp = arrival
                    return message, frame
        except ConnectionClosed as error:
            raise self._error or Closed(f"the connection was closed: {_reason(error)}") from error

    async def close(self) -> None:
        """Close it in good order, within `CLOSE_TIMEOUT`."""
        self._timer.cancel()
        self._sender.cancel()
        await self._websocket.end()

    def resync(self, product_id: str, since: float, why: str) -> None:
        """Subscribe a product anew; see `Session.resync`."""
        try:
            self.session.resync(product_id, since, why, self._loop.time())
        except FeedError as error:
            self._give_up(error)
        else:
            self._has_request.set()

    def resubscribe(self, product_id: str, since: float, why: str) -> None:
        """Subscribe a product anew; see `Session.resubscribe`."""
        self.session.resubscribe(product_id, since, why)
        self._has_request.set()

    def _give_up(self, error: Exception) -> None:
        """Have `receive` raise the error: at once, or when a connection that still speaks is closed."""
        self._error = error
        if isinstance(error, Stale):
            self._websocket.transport.abort()
        else:
            self._closing = self._loop.create_task(self._websocket.end())

    async def _send_requests(self) -> None:
        try:
            while True:
                await self._has_request.wait()
                self._has_request.clear()
                while self.session.has_request:
                    await self._requests.acquire()
                    if request := self.session.next_request(self._loop.time()):
                        await self._websocket.send(request)
                self._set_timer()
        except ConnectionClosed:
            pass  # `receive` raises it too
        except Exception as error:
            self._give_up(error)

    # One timer a connection, for whatever is due first; it is set anew when it runs out, not at each frame.

    def _set_timer(self) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_at(self.session.deadline, self._await_frames)

    def _await_frames(self) -> None:
        # If it was this process that stood still, frames are waiting: they are received before the check.
        self._timer = self._loop.call_later(0.01, self._check)

    def _check(self) -> None:
        try:
            self.session.check(self._loop.time(), self._websocket.last_partial)
            if self.session.has_request:
                self._has_request.set()
            self._set_timer()
        except Exception as error:
            self._give_up(error)


def next_break(session: Session, received: tuple[bytes, int] | None = None) -> tuple[Message, bytes]:
    """The next break of a product's stream that is to be handed on, with what a recording has for its frame.

    `received` is the frame, if any, that comes behind it, and when that arrived.
    """
    status = session.breaks.popleft()
    status.local_timestamp = received[1] if received else time.time_ns()
    return status, status_frame(status.product_id, status.reason)


def _reason(error: ConnectionClosed) -> str:
    """Why a connection was closed, and the error of the socket, if that was the cause."""
    cause = error.__cause__
    return f"{escaped(error)} ({escaped(cause)})" if isinstance(cause, OSError) else escaped(error)
