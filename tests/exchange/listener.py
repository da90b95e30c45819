"""Listening socket of the simulated exchange, which can be closed and opened again."""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

handshakes = logging.getLogger(f"{__name__}.handshakes")
handshakes.setLevel(logging.CRITICAL)  # a client that leaves in the middle is no error here


class Listener:
    """A port of 127.0.0.1 that websocket clients connect to, with or without TLS.

    `attend` is called for each connection that finished its handshake, `receive` before it is answered.
    The port stays taken while the listener is closed, so that nobody else can get it meanwhile.
    """

    def __init__(
        self,
        attend: Callable[[ServerConnection], Awaitable[None]],
        receive: Callable[[ServerConnection, Request], Awaitable[Response | None]],
        port: int = 0,
        compression: str | None = "deflate",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port
        self.attempts: list[float] = []  # `time.monotonic()` of every TCP connect
        self._attend, self._receive = attend, receive
        self._compression, self._tls = compression, tls
        self._held: socket.socket | None = None
        self._servers: list[Server] = []
        self._sockets: set[ServerConnection] = set()
        self._drops = 0

    @property
    def listening(self) -> bool:
        """Whether connects are not refused."""
        return any(server.is_serving() for server in self._servers)

    async def open(self) -> None:
        """Listen, on the same port as before, unless it listens already."""
        listener = self

        class Attempt(ServerConnection):
            def __init__(self, *arguments: object, **keywords: object) -> None:
                super().__init__(*arguments, **keywords)  # type: ignore[arg-type]
                listener.attempts.append(time.monotonic())
                self.drops = listener._drops

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                listener._sockets.add(self)
                super().connection_made(transport)
                if self.drops != listener._drops:  # in the middle of its TLS handshake
                    self.transport.abort()

            def connection_lost(self, exc: Exception | None) -> None:
                listener._sockets.discard(self)
                super().connection_lost(exc)

        if self.listening:
            return
        if self._held is None:
            self._held = self._bind()
            self.port = self._held.getsockname()[1]
        server = await serve(
            self._attend,
            sock=self._bind(),
            process_request=self._receive,
            compression=self._compression,
            ssl=self._tls,
            create_connection=Attempt,
            open_timeout=None,
            ping_interval=None,
            close_timeout=1,
            logger=handshakes,
            backlog=1024,
        )
        self._servers.append(server)

    def _bind(self) -> socket.socket:
        """A socket on the port, beside others that don't listen."""
        # asyncio switches Nagle's algorithm off, which holds small frames back for up to 40 ms, only where
        # a socket says that it is a TCP one.
        bound = socket.socket(proto=socket.IPPROTO_TCP)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(("127.0.0.1", self.port))
        except OSError:
            bound.close()
            raise
        return bound

    def close(self) -> None:
        """Stop listening, so that connects are refused; open connections go on."""
        for server in self._servers:
            server.server.close()  # unlike its wrapper's `close`, done when it returns

    def drop_all(self) -> None:
        """Drop every connection without a close frame."""
        self._drops += 1
        for attempt in list(self._sockets):
            attempt.transport.abort()

    async def stop(self) -> None:
        """Drop what is still open, and give up the port."""
        self.close()
        self.drop_all()
        for server in self._servers:
            server.close(close_connections=False)
            await server.wait_closed()
        if self._held:
            self._held.close()
