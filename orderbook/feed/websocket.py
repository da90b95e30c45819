"""Websocket to the exchange: how it is opened, what is noted of its bytes, and how it is ended in time."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from ssl import create_default_context
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import backoff
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import DATA_OPCODES, Frame
from websockets.http11 import Request, Response
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from orderbook.coinbase import exchange
from orderbook.feed.errors import FeedError, Unreachable, escaped
from orderbook.feed.limiter import Limiter
from orderbook.feed.troubles import Troubles
from orderbook.settings import shown

CLOSE_TIMEOUT = 0.5  # seconds; a run must end within one
HAPPY_EYEBALLS_DELAY = 0.25  # seconds until the next of several addresses is tried too, as RFC 8305 has it
MAX_OPEN_TIMEOUT = 60.0  # seconds
MAX_UNREAD = 2**18  # bytes that may wait for the exchange to read them; requests and pongs are small


def reconnect_delays() -> Generator[float]:
    """Seconds between attempts: at random up to 1 first, so that connections spread, then 0.5 to 5."""
    return backoff(initial_delay=1.0, min_delay=0.5, max_delay=5.0)


def longer(open_timeout: float, error: FeedError) -> float:
    """The timeout of the next attempt: twice as long after a time-out, where network or server are slow."""
    is_timeout = isinstance(error.__cause__, TimeoutError)
    return min(2 * open_timeout, MAX_OPEN_TIMEOUT) if is_timeout else open_timeout


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

    @cached_property
    def eyeballs(self) -> dict[str, Any]:
        """The delay after which the next address of a host is tried too; an address alone has no other.

        Such an attempt leaves its socket to the garbage collector where it is cancelled (asyncio's doing, in
        Python 3.11 and 3.12.1).
        """
        host = urlsplit(self.proxy or self.url).hostname or ""
        try:
            ip_address(host)
        except ValueError:
            return {"happy_eyeballs_delay": HAPPY_EYEBALLS_DELAY}
        return {}

    @cached_property
    def proxy(self) -> str | None:
        """The proxy that the environment names for this address."""
        return get_proxy(parse_uri(self.url))


class Websocket(ClientConnection):
    """The library's connection, ended too where the exchange breaks the protocol or doesn't read.

    The library waits for the other side to end the TCP connection, which it may never do. `last_partial` is
    the loop's time at which bytes came last that completed no message.
    """

    last_partial = -math.inf
    _is_partial = False
    _abort: asyncio.Handle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arrivals: deque[int] = deque()  # of the messages that wait to be received

    async def receive(self) -> tuple[bytes, int]:
        """The next message, and when the last of it left the socket, in nanoseconds since 1970."""
        message = await self.recv(decode=False)
        return message, self._arrivals.popleft()

    def data_received(self, data: bytes) -> None:
        self._is_partial = True
        super().data_received(data)
        if self._is_partial:
            self.last_partial = self.loop.time()
        if self.protocol.close_expected():
            self._abort = self._abort or self.loop.call_later(CLOSE_TIMEOUT, self.transport.abort)
        elif self.paused and (size := self.transport.get_write_buffer_size()) > MAX_UNREAD:
            self.set_connection_exc(OSError(f"{size} bytes were sent and not read"))
            self.transport.abort()

    def process_event(self, event: Frame | Request | Response) -> None:
        self._is_partial = isinstance(event, Frame) and not event.fin
        if isinstance(event, Frame) and event.fin and event.opcode in DATA_OPCODES:
            self._arrivals.append(time.time_ns())
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._abort:
            self._abort.cancel()
        super().connection_lost(exc)

    async def end(self) -> None:
        """Close it in good order, or within `CLOSE_TIMEOUT` where the other side doesn't take part."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.close()
        except TimeoutError:
            pass
        finally:
            self.transport.abort()


class _Redirected(Exception):
    """The exchange answers with another address."""

    def __init__(self, url: str) -> None:
        super().__init__(f"redirected to {shown(url)}")
        self.url = url


class _Connect(connect):
    """A connect that follows no redirect by itself, since each attempt takes a place of the limiter."""

    def process_redirect(self, exc: Exception) -> Exception:
        try:
            answer = super().process_redirect(exc)
        except (ValueError, InvalidURI) as error:
            answer = error
        if isinstance(answer, str):
            return _Redirected(answer)
        if answer is exc or not isinstance(exc, InvalidStatus):
            return answer
        # The library's error has the whole address in it, which may have secrets.
        return ValueError(f"redirected to {shown(exc.response.headers['Location'])}, which can't be followed")


async def open_websocket(policy: Policy, open_timeout: float) -> Websocket:
    """Connect, with one redirect at most. Raises `Unreachable`, from the error that was the cause."""
    through = ""
    try:
        if policy.proxy:
            through = f" through the proxy {shown(policy.proxy)}"
        try:
            return await _open(policy, policy.url, open_timeout)
        except _Redirected as redirected:
            return await _open(policy, redirected.url, open_timeout)
    except (OSError, WebSocketException, ValueError, ImportError, _Redirected) as error:
        # ValueError: a redirect or a proxy with an address that is none; ImportError: a SOCKS proxy.
        why = escaped(error)
        if policy.proxy:  # the library's errors name it as it is
            why = why.replace(policy.proxy, shown(policy.proxy))
        raise Unreachable(f"no connection to {shown(policy.url)}{through}: {why}") from error


async def _open(policy: Policy, url: str, open_timeout: float) -> Websocket:
    await policy.connects.acquire()
    websocket = await _Connect(
        url,
        create_connection=Websocket,
        proxy=policy.proxy,
        open_timeout=open_timeout,
        close_timeout=CLOSE_TIMEOUT,
        ping_interval=None,  # the exchange's heartbeats show more: that its market data is alive
        max_size=exchange.MAX_SIZE,
        **policy.tls,
        **policy.eyeballs,
    )
    assert isinstance(websocket, Websocket)
    return websocket
