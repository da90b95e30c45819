"""Client of the live page's push: connection after connection, each frame into the model."""

import asyncio
import ipaddress
import os
from collections.abc import Generator
from contextlib import suppress
from typing import Literal

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.uri import parse_uri

from orderbook.watch.frames import BadFrame, Choice, clean, decode
from orderbook.watch.model import Model

MAX_SIZE = 16 * 2**20  # bytes of a frame; one of 400 products has 200 kB
TIMEOUT = 5.0  # seconds, of the handshake and of pings
CLOSE_TIMEOUT = 1.0  # seconds


class NoLivePage(Exception):
    """An address that is none, or at which something else answers."""


def reconnect_delays() -> Generator[float]:
    """Seconds before each attempt to reconnect: soon at first, never long."""
    yield from (0.25, 0.5, 1.0, 2.0)
    while True:
        yield 4.0


class Client:
    """Keeps a model up to date, connection after connection; `NoLivePage` for a URL that can't be right."""

    def __init__(self, url: str, model: Model) -> None:
        try:
            address = parse_uri(url)
        except (InvalidURI, ValueError) as error:
            raise NoLivePage(f"{clean(url)} is not the URL of a live page's push: {clean(error)}") from None
        self.place = clean(f"{address.host}:{address.port}")
        self._url, self._model = url, model
        self._proxy: Literal[True] | None = None if is_loopback(address.host) else True
        self._choice = Choice()
        self._chosen = asyncio.Event()

    def choose(self, choice: Choice) -> None:
        """Ask for something else, now and on every connection to come."""
        if choice != self._choice:
            self._choice = choice
            self._chosen.set()

    async def run(self) -> None:
        """Follow the server for good."""
        clock = asyncio.get_running_loop().time
        was_connected, delays = False, reconnect_delays()
        while True:
            try:
                async with connect(
                    self._url,
                    compression=None,
                    proxy=self._proxy,
                    max_size=MAX_SIZE,
                    open_timeout=TIMEOUT,
                    ping_interval=TIMEOUT,
                    ping_timeout=TIMEOUT,
                    close_timeout=CLOSE_TIMEOUT,
                ) as websocket:
                    was_connected = True
                    self._model.connected(clock())
                    sender = asyncio.create_task(self._send_choices(websocket))
                    try:
                        async for data in websocket:
                            self._model.take(decode(data), clock())
                            delays = reconnect_delays()
                    finally:
                        sender.cancel()
                reason = "the server has closed the connection"
            except InvalidStatus as error:
                status = error.response.status_code
                if status < 500 and not was_connected:
                    raise NoLivePage(f"no live page's push at {clean(self._url)}: HTTP {status}") from None
                reason = f"HTTP {status}"
            except BadFrame as error:
                reason = f"a frame that can't be true: {error}"
            except (OSError, WebSocketException) as error:
                reason = why(error)
            self._model.disconnected(f"{self.place}: {reason}")
            await asyncio.sleep(next(delays))

    async def _send_choices(self, websocket: ClientConnection) -> None:
        with suppress(ConnectionClosed):  # the receiver sees it too
            while True:
                self._chosen.clear()
                await websocket.send(self._choice.encode())
                await self._chosen.wait()


def why(error: Exception) -> str:
    """Why a connection was not made, or was lost, in a few words."""
    if isinstance(error, OSError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)
    return clean(error) or type(error).__name__


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own, which no proxy can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
