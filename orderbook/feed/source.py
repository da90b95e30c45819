"""How Bytewax hears it: each product's feed as a partition that never blocks.

The engine polls the partitions of a worker one after another, and one that waits makes all wait. So
the websockets of a worker share one event loop, which is turned for a moment at a time. A poll costs
the engine much the same, whether it brings nothing, one message or many: so the first of a worker's
partitions turns the loop and hands on what has come in for all of them, and the others are polled
just often enough to end in time. With 400 products that saves some 40 % of the engine's work.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from orderbook.book import CrossedBook
from orderbook.coinbase.messages import BookMessage
from orderbook.feed.client import Doubt, FeedError, FeedSettings, NotAProduct, Unreachable, ws_agen
from orderbook.feed.limiter import Pacer
from orderbook.metrics import FeedMetrics, Metrics
from orderbook.recording.source import Recorder
from orderbook.shutdown import Ending, logged

log = logging.getLogger(__name__)

BETWEEN_TURNS = timedelta(milliseconds=1)  # of the loop
BETWEEN_LOOKS = timedelta(milliseconds=100)  # of a partition that hands on nothing: is it at its end?


class CoinbaseSource(FixedPartitionedSource[tuple[str, BookMessage], None]):
    """The products' feeds, one partition each; `record` is a folder to record them into.

    Nothing is kept for recovery: each connection starts from the exchange's own snapshot. `hint` is
    said, once, where the exchange can't be reached; a summary each `summary_every` seconds.
    """

    def __init__(
        self,
        product_ids: list[str],
        settings: FeedSettings,
        ending: Ending,
        metrics: Metrics,
        *,
        record: str | None = None,
        hint: str = "",
        summary_every: float = 60.0,
    ) -> None:
        self._product_ids = product_ids
        self._settings = settings
        self._ending = ending
        self._record = record
        self._hint = hint
        self._summary_every = summary_every
        self._pacer = Pacer()
        self._metrics = metrics
        self._doubts: dict[str, Doubt] = {}
        self._of_this_worker = threading.local()  # a worker is a thread
        self._summing_up = threading.Lock()
        self._next_summary = time.monotonic() + summary_every

    def list_parts(self) -> list[str]:
        return self._product_ids

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "CoinbasePartition":
        # The feed has no end. Where a run comes to one by itself, every product was refused.
        self._ending.code_of_its_own = 1
        if not hasattr(self._of_this_worker, "loop"):
            self._of_this_worker.loop = WorkerLoop()
            self._of_this_worker.loop.start(self._say_summaries())
        recorder = self._open_recorder(for_part)
        metrics = self._metrics.feed(for_part)
        messages = ws_agen(
            for_part,
            self._settings,
            self._pacer,
            phase=self._product_ids.index(for_part) / len(self._product_ids),
            doubt=lambda: self._doubts.get(for_part),
            metrics=metrics,
            record=recorder.write if recorder else lambda frame: None,
            on_trouble=self._on_trouble,
        )
        loop = self._of_this_worker.loop
        return CoinbasePartition(for_part, messages, loop, self._ending, metrics, recorder)

    def resync(self, product_id: str, book: CrossedBook) -> None:
        """Have the connection replaced on which a book came to be crossed.

        If that connection is gone already, nothing happens: what is told of a book may be late, since
        it may be kept elsewhere. To be called in the process that has the product's partition.
        """
        since = time.monotonic() - book.seconds
        why = f"crossed for {book.seconds:.1f} s, best bid {book.bid_price}, best ask {book.ask_price}"
        self._doubts[product_id] = Doubt(since, why)

    def _open_recorder(self, product_id: str) -> Recorder | None:
        if self._record is None:
            return None
        try:
            return Recorder(self._record, product_id)
        except OSError as error:
            log.error("%s can't be recorded: %s", product_id, error)
            self._ending.finish(1)
            return None

    async def _say_summaries(self) -> None:
        while True:
            await asyncio.sleep(self._summary_every)
            # Each worker comes here, since any one's products may have ended; one speaks for all.
            with self._summing_up:
                due = time.monotonic() >= self._next_summary
                if due:
                    self._next_summary += self._summary_every
            if due:
                log.info(self._metrics.summary())

    def _on_trouble(self, error: FeedError) -> None:
        if self._hint and isinstance(error, Unreachable):
            log.warning(self._hint)
            self._hint = ""


class CoinbasePartition(StatefulSourcePartition[tuple[str, BookMessage], None]):
    """A product's feed; ends where the exchange refuses the product.

    The worker's first partition leads: it hands on the messages of all, and stays until the others have
    ended. So they all go the same way; what comes from two partitions is in no order to the engine.
    """

    def __init__(
        self,
        product_id: str,
        messages: AsyncIterator[tuple[str, BookMessage]],
        loop: "WorkerLoop",
        ending: Ending,
        metrics: FeedMetrics,
        recorder: Recorder | None = None,
    ) -> None:
        self._product_id = product_id
        self._messages = messages
        self._loop = loop
        self._ending = ending
        self._metrics = metrics
        self._recorder = recorder
        loop.join(self)
        self._task = loop.start(self._take())

    async def _take(self) -> None:
        try:
            async for product_id, message in self._messages:
                self._metrics.observe(message.time)
                self._loop.arrived.append((product_id, message))
        except NotAProduct as error:
            log.error("%s: %s; this product ends here", self._product_id, error)
        except Exception as error:
            error.add_note(f"in the feed of {self._product_id}")
            raise

    @logged
    def next_batch(self) -> list[tuple[str, BookMessage]]:
        """What has come in for the worker's products since the last poll, where this partition leads."""
        if self._ending.reached:
            raise StopIteration
        leads = self._leads()
        if self._task.done():  # in an earlier turn, whose messages are handed on
            self._task.result()  # raises the unexpected
            if not leads or len(self._loop.partitions) == 1:
                raise StopIteration
        return self._loop.turn() if leads else []

    def next_awake(self) -> datetime:
        """When to poll again."""
        return datetime.now(UTC) + (BETWEEN_TURNS if self._leads() else BETWEEN_LOOKS)

    def _leads(self) -> bool:
        return self._loop.partitions[0] is self

    def snapshot(self) -> None:
        """Nothing: there is no place in the feed to come back to."""

    def close(self) -> None:
        """Leave the loop; the last of a worker's partitions to leave closes all their connections at once."""
        self._loop.leave(self)
        if self._recorder:
            self._recorder.close()


class WorkerLoop:
    """The event loop that the partitions of a worker share, turned by the first of them."""

    def __init__(self) -> None:
        self.partitions: list[object] = []
        self.arrived: list[tuple[str, BookMessage]] = []  # in this turn
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_DaemonThreads())
        self._tasks: list[asyncio.Task[None]] = []

    def join(self, partition: object) -> None:
        """A partition comes to share the loop, until it leaves; the first one there is to turn it."""
        self.partitions.append(partition)

    def leave(self, partition: object) -> None:
        """A partition is at its end, as it may say twice; with the last one the loop is closed."""
        if partition in self.partitions:
            self.partitions.remove(partition)
            if not self.partitions:
                self._close()

    def start(self, coroutine: Any) -> "asyncio.Task[None]":
        """Have a coroutine run in the turns to come."""
        task = self._loop.create_task(coroutine)
        self._tasks.append(task)
        return task

    def turn(self) -> list[tuple[str, BookMessage]]:
        """Take in what has come, without waiting: one pass reads the sockets, one wakes their readers."""
        self._loop.call_soon(self._loop.call_soon, self._loop.stop)
        self._loop.run_forever()
        arrived, self.arrived = self.arrived, []
        return arrived

    def _close(self) -> None:
        """End all tasks, all at once; each says goodbye to the exchange within its own short bound."""
        log.info("all feeds of this worker are at their end: closing its connections")
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


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

        threading.Thread(target=run, daemon=True).start()
        return future
