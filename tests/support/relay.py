"""Relay of TCP connections: an address that stays, while what is behind it comes and goes."""

import asyncio
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.waiting import DEADLINE


class Relay:
    """Listens on `port` of 127.0.0.1 and forwards to `target`; while that is None, connections are closed.

    Between two connections that it accepts lie `interval` seconds; the others queue meanwhile.
    """

    def __init__(self, interval: float = 0.0) -> None:
        self.target: int | None = None
        self._interval = interval
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready, self._ending = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=[self._serve()], daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(DEADLINE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(DEADLINE)
        self._loop.close()

    async def _serve(self) -> None:
        connections: dict[asyncio.Task[None], socket.socket] = {}
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
            listening.setblocking(False)
            self.port = listening.getsockname()[1]
            self._accept_next(listening, connections)
            self._ready.set()
            await self._ending.wait()
            self._loop.remove_reader(listening)
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)
        for _ in range(3):  # a transport closes its socket a turn or two later
            await asyncio.sleep(0)
        for accepted in connections.values():  # a task that was cancelled before it began had none
            accepted.close()

    def _accept_next(
        self, listening: socket.socket, connections: dict[asyncio.Task[None], socket.socket]
    ) -> None:
        def accept() -> None:
            accepted, _address = listening.accept()
            connections[self._loop.create_task(self._forward(accepted))] = accepted
            if self._interval:
                self._loop.remove_reader(listening)
                self._loop.call_later(self._interval, self._accept_next, listening, connections)

        if not self._ending.is_set():
            self._loop.add_reader(listening, accept)

    async def _forward(self, accepted: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=accepted)
        writers = [writer]
        try:
            if self.target is not None:
                behind, before = await asyncio.open_connection("127.0.0.1", self.target)
                writers.append(before)
                pumps = [
                    asyncio.create_task(_pump(reader, before)),
                    asyncio.create_task(_pump(behind, writer)),
                ]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:  # the target is gone
            pass
        finally:
            for each in writers:
                each.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
