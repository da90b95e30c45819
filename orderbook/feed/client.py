"""How we hear it: one product's messages over a websocket, and why a connection is given up.

The feed numbers nothing, so a message that is lost or can't be read leaves a book wrong for good, and
unseen. Hence the one cure for everything: give the connection up and take a new one, which starts with
a snapshot. `ws_agen` decides what is retried; all the reasons there are derive from `FeedError`.
"""

import asyncio
import gc
import json
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import backoff
from websockets.exceptions import ConnectionClosed, WebSocketException

from orderbook.coinbase.messages import BadFrame, BookMessage, Error, L2Update, Snapshot, decode
from orderbook.feed.limiter import Pacer
from orderbook.metrics import FeedMetrics

log = logging.getLogger(__name__)

LARGEST_FRAME = 64 * 2**20  # bytes; a BTC-USD snapshot is 1.1 to 1.3 MB, the library's default 1 MiB
CLOSE_WITHIN = 0.5  # seconds that a closing handshake may take; a run must end within one


class FeedError(Exception):
    """Why a connection was given up; the text carries the value that was wrong."""

    reason: ClassVar[str] = "closed"


class Unreachable(FeedError):
    """No connection could be made."""


class Closed(FeedError):
    """The exchange closed the connection, or it broke."""


class Stale(FeedError):
    """Nothing was heard for too long, or no snapshot came."""

    reason = "stale"


class Rejected(FeedError):
    """A frame that can't be trusted."""

    reason = "bad frame"


class Crossed(FeedError):
    """The book was crossed for too long."""

    reason = "crossed"


class Refreshed(FeedError):
    """The connection was as old as one may get."""

    reason = "refresh"


class Refused(FeedError):
    """The exchange answered with an error."""


class NotAProduct(Refused):
    """The exchange does not know the product: the one reason that is final."""


class Doubt(NamedTuple):
    """A doubt about a book: since when, in `time.monotonic`, and why."""

    since: float
    why: str


def retry_delays() -> Generator[float]:
    """Seconds between attempts: at random up to 1 first, so that many products spread, then 0.5 to 10."""
    return backoff(initial_delay=1.0, min_delay=0.5, max_delay=10.0)


@dataclass(frozen=True)
class FeedSettings:
    """Where the feed is, and the seconds after which a connection is given up."""

    url: str
    stale_after: float = 5.0  # without any frame
    refresh: float = 3600.0  # since it was made
    snapshot_within: float = 10.0  # without a snapshot
    open_within: float = 5.0  # without having been made
    resync_every: float = 30.0  # between two connects for a crossed book: in an auction it is rightly so
    retry_delays: Callable[[], Generator[float]] = retry_delays


async def ws_agen(
    product_id: str,
    settings: FeedSettings,
    pacer: Pacer,
    *,
    phase: float = 0.0,
    doubt: Callable[[], Doubt | None] = lambda: None,
    metrics: FeedMetrics | None = None,
    record: Callable[[bytes], None] = lambda frame: None,
    on_trouble: Callable[[FeedError], None] = lambda error: None,
) -> AsyncGenerator[tuple[str, BookMessage]]:
    """Yield a product's messages, for as long as it is asked for more: `(product_id, message)`.

    After each connect the snapshot comes first. `phase`, from 0 to 1, says when in each span of
    `settings.refresh` the connection is renewed; products of different phases never are together.
    `doubt` tells whether the book that is made of this is doubted; where that is since the connection
    was made, the connection is replaced. `record` is given the raw frame of each
    message before it is yielded, `on_trouble` each reason why a connection was given up. Raises
    `NotAProduct` where the exchange says so before it ever sent a snapshot; all else is retried.
    """
    metrics = metrics or FeedMetrics()
    delays = settings.retry_delays()
    was_live = False
    last_resync = -math.inf
    while True:
        await asyncio.sleep(pacer.reserve())
        try:
            connection = _connection(product_id, settings, phase, doubt, metrics, record)
            async with aclosing(connection) as messages:
                async for message in messages:
                    if type(message) is Snapshot:
                        was_live = metrics.live = True
                        delays = settings.retry_delays()
                    yield product_id, message
        except FeedError as error:
            metrics.live = False
            metrics.resyncs[error.reason] += 1
            on_trouble(error)
            if isinstance(error, NotAProduct) and not was_live:
                raise
            if isinstance(error, Crossed):
                delay = max(0.0, last_resync + settings.resync_every - time.monotonic())
                last_resync = time.monotonic() + delay
            else:
                delay = 0.0 if isinstance(error, Refreshed) else next(delays)
            level = logging.INFO if isinstance(error, Refreshed) else logging.WARNING
            log.log(level, "%s: %s; next attempt in %.1f s", product_id, error, delay)
        await asyncio.sleep(delay)
        # The library's connection and its error hold each other, and by now nobody else does. Left to the
        # collector's own time, the buffers of hundreds would pile up first, and leave memory full of holes.
        gc.collect()


async def _connection(
    product_id: str,
    settings: FeedSettings,
    phase: float,
    doubt: Callable[[], Doubt | None],
    metrics: FeedMetrics,
    record: Callable[[bytes], None],
) -> AsyncGenerator[BookMessage]:
    """Yield the messages of one connection; always ends by raising a `FeedError`."""
    try:
        websocket = await connect(
            settings.url,
            open_timeout=settings.open_within,
            close_timeout=CLOSE_WITHIN,
            ping_interval=None,  # the exchange's heartbeats tell more: that its market data is alive
            max_size=LARGEST_FRAME,
        )
    except (OSError, WebSocketException, ValueError, ImportError) as error:
        # ValueError: a redirect or a proxy with an address that is none; ImportError: a SOCKS proxy.
        raise Unreachable(f"no connection to {settings.url}: {error}") from error
    metrics.connects += 1
    watchdog = _Watchdog(websocket, settings)
    made = time.monotonic()
    renewal = made + settings.refresh * (1 - (made / settings.refresh - phase) % 1)
    try:
        await websocket.send(_subscribe(product_id))
        while True:
            frame = await websocket.recv(decode=False)
            metrics.frames += 1
            metrics.bytes += len(frame)
            metrics.last_frame = now = watchdog.hear()
            message = _read(product_id, frame)
            if type(message) is Snapshot:
                watchdog.synced = True
            if message is None or not watchdog.synced:
                continue
            doubted = doubt()
            if doubted and doubted.since > made:
                raise Crossed(doubted.why)
            if now >= renewal and type(message) is not Snapshot:
                raise Refreshed(f"the connection is renewed after {now - made:.0f} s")
            metrics.updates += type(message) is L2Update
            record(frame)
            yield message
    except Rejected:
        metrics.rejected += 1
        raise
    except ConnectionClosed as error:
        raise watchdog.verdict or Closed(f"the connection was closed: {error}") from error
    finally:
        watchdog.stop()
        await websocket.close()


def _subscribe(product_id: str) -> str:
    return json.dumps(
        {"type": "subscribe", "product_ids": [product_id], "channels": ["level2_batch", "heartbeat"]}
    )


def _read(product_id: str, frame: bytes) -> BookMessage | None:
    """The message of a frame, None for one that says nothing of the book, such as the ack."""
    try:
        message = decode(frame)
    except BadFrame as error:
        raise Rejected(f"frame rejected: {error}") from None
    if isinstance(message, BookMessage):
        if message.product_id != product_id:
            raise Rejected(f"frame rejected: it is of product {message.product_id[:100]!r}")
        return message
    if isinstance(message, Error):
        kind = NotAProduct if "is not a valid product" in message.reason else Refused
        raise kind(f"the exchange says: {message.message[:100]!r}, {message.reason[:100]!r}")
    return None


class _Watchdog:
    """Breaks a connection that is silent, or without a snapshot, for too long.

    It counts from the connect, so it also barks where nothing ever came. One timer a connection: it
    is set anew when it runs out, not at each frame.
    """

    def __init__(self, websocket: ClientConnection, settings: FeedSettings) -> None:
        self._websocket = websocket
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._connected = self._heard = self._loop.time()
        self.synced = False
        self.verdict: FeedError | None = None
        self._timer: asyncio.Handle = self._loop.call_soon(self._watch)

    def hear(self) -> float:
        """A frame came; answers when."""
        self._heard = self._loop.time()
        return self._heard

    def stop(self) -> None:
        """Leave the connection alone from now on."""
        self._timer.cancel()

    def _watch(self) -> None:
        silent_at = self._heard + self._settings.stale_after
        late_at = self._connected + self._settings.snapshot_within
        due = silent_at if self.synced else min(silent_at, late_at)
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._look)
            return
        self.verdict = Stale(
            f"no frame for {self._settings.stale_after:g} s"
            if due == silent_at
            else f"no snapshot within {self._settings.snapshot_within:g} s"
        )
        self._websocket.transport.abort()

    def _look(self) -> None:
        # If it was this process that stood still, frames are waiting that it has not seen yet: they
        # are taken in now, before the verdict.
        self._timer = self._loop.call_later(0.01, self._watch)
