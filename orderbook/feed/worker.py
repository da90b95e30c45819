"""The feeds of one worker, on one event loop that never blocks it.

The engine polls the partitions of a worker one after another, and one that waits makes all wait. So the
websockets of a worker share an event loop, which is run once a poll. A poll costs the engine much the
same, whether it brings nothing, one message or many: so one of a worker's partitions, the driver, runs
the loop and hands on what came in for all of them. With 400 products that saves some 40 % of the engine's
work, and all messages of a product take one way, so they stay in order.
"""

import asyncio
import logging
import selectors
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from orderbook.coinbase.messages import Message, Snapshot
from orderbook.feed.client import Feed
from orderbook.feed.stats import FeedStats
from orderbook.feed.trades import MissingTrades, TradeIds
from orderbook.recording.recorder import Recorder
from orderbook.recording.writer import CLOSE_TIMEOUT, Writer

log = logging.getLogger(__name__)

WATCH_INTERVAL = 0.25  # seconds between two looks at the recordings
LEAST_TIMEOUT = 0.3  # seconds for the recordings at the end, however long the connections took


class Member(NamedTuple):
    """A product of a worker: its counts, the ids of its trades, and its recorder, if it is recorded."""

    stats: FeedStats
    trades: TradeIds
    recorder: Recorder | None


class Worker:
    """The feeds of a worker's products; `open_feeds` makes them for products that share connections.

    `writer` is that of the products' recorders, where there are any. All methods are for the worker's own
    thread. A product joins before the worker's first poll, as the engine builds all partitions of a worker
    first; those that join later get connections of their own.
    """

    def __init__(
        self, open_feeds: Callable[[Sequence[str]], list[Feed]], writer: Writer | None = None
    ) -> None:
        self._open_feeds = open_feeds
        self._writer = writer
        self._recorders: dict[str, Recorder] = {}
        self._next_watch = 0.0
        self._joined: list[str] = []
        self._members: dict[str, Member] = {}  # the first of them has the driver
        self._feeds: dict[str, Feed] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._arrived: list[tuple[str, Message]] = []
        self._missing_trades = MissingTrades()
        self._selector = _Selector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._loop.set_default_executor(_DaemonThreads())

    def join(self, product_id: str, stats: FeedStats, recorder: Recorder | None) -> None:
        """A product is to be fed, until it leaves."""
        trades = TradeIds(product_id, stats, self._missing_trades)
        self._members[product_id] = Member(stats, trades, recorder)
        self._joined.append(product_id)
        if recorder:
            self._recorders[product_id] = recorder

    def drives(self, product_id: str) -> bool:
        """Whether this product's partition is the driver: the first one that has not left."""
        return next(iter(self._members), None) == product_id

    def poll(self, product_id: str) -> list[tuple[str, Message]]:
        """Run the loop once, without waiting; what came in for all products, in order.

        Only the driver does; for any other product it is empty. Raises `StopIteration` once the exchange
        has refused the product; the driver waits for the others to leave first.
        """
        if self._joined:
            self._start()
        drives = self.drives(product_id)
        for task in self._tasks:
            if task.done():
                task.result()  # raises the unexpected
        if self._feeds[product_id].session.refuses(product_id) and (not drives or len(self._members) == 1):
            raise StopIteration
        if not drives:
            return []
        if self._writer:
            self._watch(self._writer, time.monotonic())
        self._missing_trades.log_rest()
        self._run_once()  # reads the sockets
        if self._selector.has_events:
            self._run_once()  # wakes who waits for what they brought
        arrived, self._arrived = self._arrived, []
        return arrived

    def _watch(self, writer: Writer, now: float) -> None:
        """Have products subscribed anew whose recordings were interrupted and may go on with a snapshot."""
        if now < self._next_watch:
            return
        self._next_watch = now + WATCH_INTERVAL
        writer.watch()
        for product_id, recorder in self._recorders.items():
            if (since := recorder.take_request()) is not None:
                self._feeds[product_id].resubscribe(product_id, since, "its recording was interrupted")

    def _run_once(self) -> None:
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()

    def resync(self, product_id: str, since: float, why: str) -> None:
        """Have the feed subscribe a product anew; see `Feed.resync`."""
        if product_id in self._feeds:
            self._feeds[product_id].resync(product_id, since, why)

    def leave(self, product_id: str) -> None:
        """A product's partition is at its end; the last to leave closes all. May be called twice."""
        if self._members.pop(product_id, None) and not self._members:
            self._close()

    def _start(self) -> None:
        for feed in self._open_feeds(self._joined):
            self._feeds |= dict.fromkeys(feed.session.product_ids, feed)
            self._tasks.append(self._loop.create_task(self._receive(feed)))
        self._joined = []

    async def _receive(self, feed: Feed) -> None:
        try:
            async for message, frame in feed.ws_agen():
                product_id, arrival = message.product_id, message.local_timestamp
                assert arrival
                member = self._members.get(product_id)  # None where it was refused, and has left
                if member is None or not member.trades.is_new(message):
                    continue
                if not feed.repeats:
                    member.stats.observe_lag(message.time, arrival / 1e9)
                if member.recorder:
                    member.recorder.write(frame, arrival, type(message) is Snapshot)
                self._arrived.append((product_id, message))
        except Exception as error:
            error.add_note(f"in the feed of {', '.join(feed.session.product_ids)}")
            raise

    def _close(self) -> None:
        """End all feeds at once; each closes its connection within its own short bound."""
        log.info("closing the connections of this worker")
        began = time.monotonic()
        for task in self._tasks:
            task.cancel()
        if self._tasks:  # none where the run ends before its first poll
            self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        if self._writer:
            left = began + CLOSE_TIMEOUT - time.monotonic()
            self._writer.close(self._recorders.values(), max(left, LEAST_TIMEOUT))


class _Selector(selectors.DefaultSelector):
    """Selector that knows whether its last call found a socket ready."""

    has_events = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(timeout)
        self.has_events = bool(events)
        return events


class _DaemonThreads(ThreadPoolExecutor):
    """Runs the loop's name look-ups in threads that nobody waits for at the end.

    A resolver without a network may take 30 s to give up; the interpreter joins the threads of a
    plain executor before it exits.
    """

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # who waits for it may go, and must not take it along

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        try:
            threading.Thread(target=run, daemon=True).start()
        except RuntimeError as error:  # as a look-up that fails: the connect is tried again
            future.set_exception(OSError(f"no thread for a name look-up: {error}"))
        return future
