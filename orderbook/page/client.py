"""Client of the push, and the connection that a request comes on."""

import asyncio
import logging
import time
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from orderbook.page.push import Board, Viewer

log = logging.getLogger(__name__)

MOST_CLIENTS = 100
MOST_CONNECTIONS = MOST_CLIENTS + 32  # so many more may be asking for a file, or be slow to ask
MOST_UNSENT = 4_194_304  # bytes; frames are smaller, and a client has one at a time


class Connection(ServerConnection):
    """A connection that is closed at once where there are many, or where it takes no answers to its pings."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self.server.handler_tasks) > MOST_CONNECTIONS:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_write_buffer_size() > MOST_UNSENT:
            self.transport.abort()


class Client:
    """A client of the push."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.viewer = Viewer()
        self.sending: asyncio.Task[None] | None = None
        self.cost = 0.0  # seconds of processor that its last frame took
        self.due = 0.0  # when it may have the next one, by the monotonic clock

    def push(self, board: Board, now: float, share: float) -> None:
        """Send what is new, where it has read what it was sent before; it may take a share of a core."""
        if now < self.due or not (self.sending is None or self.sending.done()):
            return
        began = time.thread_time()
        try:
            frame = self.viewer.frame(board)
            if frame is not None:
                self.sending = asyncio.create_task(self._send(frame))
        except Exception:
            log.exception("unexpected, a client of the page is closed: %r", self.viewer.choice)
            self.connection.transport.abort()
        self.cost = time.thread_time() - began
        self.due = now + self.cost / share

    async def _send(self, frame: bytes) -> None:
        with suppress(ConnectionClosed):
            await self.connection.send(frame, text=True)
            # What the kernel has taken is not read yet: over a slow link it would be a queue of the past.
            await (await self.connection.ping())
