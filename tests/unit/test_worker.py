"""Worker and its partitions, polled by hand, with feeds in memory: what a poll gives, and how it ends."""

import asyncio
import gc
import json
import logging
import threading
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest

from orderbook.coinbase.messages import Heartbeat, Message
from orderbook.feed.client import Feed
from orderbook.feed.limiter import Limiter
from orderbook.feed.session import Session
from orderbook.feed.silence import Timeouts
from orderbook.feed.source import CoinbasePartition, CoinbaseSource
from orderbook.feed.stats import FeedStats
from orderbook.feed.troubles import Troubles
from orderbook.feed.websocket import Policy
from orderbook.feed.worker import Worker
from orderbook.recording.recorder import Recorder
from orderbook.recording.writer import Writer
from orderbook.shutdown import Shutdown
from tests.support.clock import Clock
from tests.support.recordings import ARRIVAL, HangingDisk
from tests.support.waiting import wait_until

FIRST, SECOND, THIRD = PRODUCTS = ["BTC-EUR", "ETH-EUR", "BTC-GBP"]
POLICY = Policy("ws://127.0.0.1", Limiter(), Limiter(), Troubles({}))


def heartbeat(product_id: str, time: str | None = None) -> Heartbeat:
    """A heartbeat that has arrived."""
    return Heartbeat(product_id, time, local_timestamp=ARRIVAL)


class NumberedFeed(Feed):
    """A feed in memory: a heartbeat of each product in turn, numbered by its time, without end.

    After `crash_after` of them it raises what nobody expects.
    """

    def __init__(self, product_ids: Sequence[str], crash_after: int | None = None) -> None:
        stats = {product: FeedStats() for product in product_ids}
        super().__init__(Session(product_ids, stats, Timeouts()), POLICY)
        self.crash_after = crash_after
        self.asked: list[str] = []

    async def ws_agen(self) -> AsyncGenerator[tuple[Message, bytes]]:
        number = 0
        while not self.session.ended and number != self.crash_after:
            for product_id in self.session.product_ids:
                yield heartbeat(product_id, str(number)), f"{product_id} {number}".encode()
            number += 1
            await asyncio.sleep(0)
        if number == self.crash_after:
            raise RuntimeError("crashed on purpose")

    def refuse(self) -> None:
        """Have the exchange refuse the feed's one product."""
        (product_id,) = self.session.product_ids
        self.session.connected(0.0)
        self.session.next_request(0.0)
        reason = f"{product_id} is not a valid product"
        self.session.receive(json.dumps({"type": "error", "message": "", "reason": reason}).encode(), 0.0)

    def resync(self, product_id: str, since: float, why: str) -> None:
        self.asked.append(product_id)

    def resubscribe(self, product_id: str, since: float, why: str) -> None:
        self.asked.append(product_id)


class Polled:
    """A worker whose products have feeds in memory, and their partitions."""

    def __init__(
        self,
        *product_ids: str,
        crash_after: int | None = None,
        crashing: str = FIRST,
        writer: Writer | None = None,
    ) -> None:
        self.feeds: dict[str, NumberedFeed] = {}
        self.opened: list[list[str]] = []
        self.shutdown = Shutdown()
        self.worker = Worker(self._open_feeds, writer)
        self._crash_after, self._crashing = crash_after, crashing
        self.parts = {product_id: self.join(product_id) for product_id in product_ids}

    def join(self, product_id: str, recorder: Recorder | None = None) -> CoinbasePartition:
        """A product that joins, and its partition."""
        self.worker.join(product_id, FeedStats(), recorder)
        return CoinbasePartition(product_id, self.worker, self.shutdown)

    def _open_feeds(self, product_ids: Sequence[str]) -> list[Feed]:
        self.opened.append(list(product_ids))
        for product_id in product_ids:
            crash_after = self._crash_after if product_id == self._crashing else None
            self.feeds[product_id] = NumberedFeed([product_id], crash_after)
        return [self.feeds[product_id] for product_id in product_ids]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close all partitions, as the engine does."""
        for part in self.parts.values():
            part.close()


def test_driver() -> None:
    """The first partition gives the messages of all products, each product's in order; others give none."""
    with Polled(*PRODUCTS) as polled:
        messages: list[tuple[str, Message]] = []
        for _ in range(20):
            messages += polled.parts[FIRST].next_batch()
            assert polled.parts[SECOND].next_batch() == polled.parts[THIRD].next_batch() == []
        for product_id in PRODUCTS:
            its = [message for product, message in messages if product == product_id]
            assert len(its) >= 19
            assert its == [heartbeat(product_id, str(number)) for number in range(len(its))]


def test_refused_product() -> None:
    """A product that the exchange refuses is at its end, and the others are not."""
    with Polled(*PRODUCTS) as polled:
        polled.parts[FIRST].next_batch()
        polled.feeds[SECOND].refuse()
        with pytest.raises(StopIteration):
            polled.parts[SECOND].next_batch()
        polled.parts[SECOND].close()  # as the engine does at once
        given = [product for _ in range(5) for product, _message in polled.parts[FIRST].next_batch()]
        assert polled.parts[THIRD].next_batch() == []
        assert {FIRST, THIRD} <= set(given)
        assert given.count(SECOND) <= 1  # what had come before


def test_refused_driver() -> None:
    """A driver that the exchange refuses serves the others, and is at its end after them."""
    with Polled(FIRST, SECOND) as polled:
        polled.parts[FIRST].next_batch()
        polled.feeds[FIRST].refuse()
        given = [product for _ in range(5) for product, _message in polled.parts[FIRST].next_batch()]
        assert SECOND in given
        polled.feeds[SECOND].refuse()
        with pytest.raises(StopIteration):
            polled.parts[SECOND].next_batch()
        polled.parts[SECOND].close()
        with pytest.raises(StopIteration):
            polled.parts[FIRST].next_batch()
        assert not polled.shutdown.requested


@pytest.mark.parametrize(("product", "seconds"), [(FIRST, 0.001), (SECOND, 0.1)])
def test_next_awake_counts_from_the_begin_of_the_poll(product: str, seconds: float) -> None:
    """The driver asks to be polled 1 ms after its last poll began, others after 100 ms, however long it took.

    The engine compares with a clock that it read before the poll.
    """
    now = datetime(2026, 11, 24, tzinfo=UTC)
    with Polled(FIRST, SECOND) as polled:

        def clock() -> datetime:
            nonlocal now
            now += timedelta(seconds=1)  # each look at it is later, as in a poll that takes long
            return now

        partition = CoinbasePartition(product, polled.worker, polled.shutdown, clock)
        for _ in range(2):
            began = now + timedelta(seconds=1)
            partition.next_batch()
            now += timedelta(seconds=5)
            assert partition.next_awake() == began + timedelta(seconds=seconds)


def test_shutdown() -> None:
    """Once the shutdown is requested, each partition is at its end."""
    with Polled(*PRODUCTS) as polled:
        polled.parts[FIRST].next_batch()
        polled.shutdown.request(0)
        for part in polled.parts.values():
            with pytest.raises(StopIteration):
                part.next_batch()


@pytest.mark.parametrize("in_thread", [False, True])
def test_shutdown_before_the_first_poll(in_thread: bool) -> None:
    """A worker that is never polled closes like any other, in whatever thread."""
    errors: list[Exception] = []

    def build_and_close() -> None:
        try:
            with Polled(*PRODUCTS) as polled:
                polled.shutdown.request(0)
                with pytest.raises(StopIteration):
                    polled.parts[FIRST].next_batch()
        except Exception as error:
            errors.append(error)

    if in_thread:
        thread = threading.Thread(target=build_and_close)
        thread.start()
        thread.join()
    else:
        build_and_close()
    assert errors == []


def test_all_that_is_recorded_is_handed_on(tmp_path: Path) -> None:
    """A run that ends has recorded what it has handed on, all of it and nothing else, also what came last."""
    writer = Writer(str(tmp_path))
    with Polled(writer=writer) as polled:
        recorders = {product_id: writer.open(product_id) for product_id in (FIRST, SECOND)}
        polled.parts = {
            product_id: polled.join(product_id, recorders[product_id]) for product_id in recorders
        }
        given = [message for _ in range(20) for message in polled.parts[FIRST].next_batch()]
        polled.shutdown.request(0)
    for product_id, recorder in recorders.items():
        lines = recorder.path.read_text().splitlines()
        its = [message.time for product, message in given if product == product_id]
        assert len(its) == len(lines) > 10
        assert all(line.endswith(f"{product_id} {time}") for line, time in zip(lines, its, strict=True))


def test_interrupted_recording_gets_a_snapshot(tmp_path: Path) -> None:
    """A product whose recording was interrupted is subscribed anew, and prints on until then."""
    writer = Writer(str(tmp_path / "today"), interval=0.01)
    with Polled(writer=writer) as polled:
        polled.parts = {
            product_id: polled.join(product_id, writer.open(product_id)) for product_id in (FIRST, SECOND)
        }
        polled.parts[FIRST].next_batch()
        (tmp_path / f"today/{SECOND}.jsonl").unlink()
        assert wait_until(lambda: polled.parts[FIRST].next_batch() and polled.feeds[SECOND].asked) == [SECOND]
        assert polled.feeds[FIRST].asked == []
        assert {product for product, _message in polled.parts[FIRST].next_batch()} == {FIRST, SECOND}


def test_disk_that_hangs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A disk that hangs holds up no poll, and is logged while it does."""
    disk, clock = HangingDisk(), Clock()
    writer = Writer(str(tmp_path), open_file=disk.open, interval=0.01, clock=clock)
    with Polled(writer=writer) as polled:
        polled.parts = {FIRST: polled.join(FIRST, writer.open(FIRST))}
        wait_until(lambda: polled.parts[FIRST].next_batch() and disk.reached.is_set())
        clock.now += 60
        wait_until(lambda: polled.parts[FIRST].next_batch() and caplog.messages)
        disk.goes_on.set()
    assert caplog.messages == ["the disk has not answered for 60 s; what comes waits in memory"]


@pytest.mark.parametrize("crashing", [FIRST, SECOND])
def test_crash(crashing: str, caplog: pytest.LogCaptureFixture) -> None:
    """The unexpected comes out of a poll, its traceback logged, after the messages that came before it.

    However much another product brings meanwhile, and whichever of the two partitions is the driver.
    """
    with Polled(FIRST, SECOND, crash_after=3, crashing=crashing) as polled:
        given: list[tuple[str, Message]] = []
        with pytest.raises(RuntimeError, match="crashed on purpose") as raised:
            for part in [*polled.parts.values()] * 100:
                given += part.next_batch()
        assert raised.value.__notes__ == [f"in the feed of {crashing}"]
        assert [message.time for product, message in given if product == crashing] == ["0", "1", "2"]
        assert {product for product, _ in given} == {FIRST, SECOND}
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert record.exc_info


def test_product_that_joins_late() -> None:
    """A product that joins after the first poll gets a feed of its own, and its messages."""
    with Polled(FIRST, SECOND) as polled:
        polled.parts[FIRST].next_batch()
        polled.parts[THIRD] = polled.join(THIRD)
        given = [product for _ in range(5) for product, _message in polled.parts[FIRST].next_batch()]
        assert polled.opened == [[FIRST, SECOND], [THIRD]]
        assert {FIRST, SECOND, THIRD} == set(given)


def test_resync_reaches_the_feed_of_the_product() -> None:
    """A product is subscribed anew by its own feed; one that has none yet is left alone."""
    with Polled(FIRST, SECOND) as polled:
        polled.worker.resync(FIRST, 0.0, "crossed")
        polled.parts[FIRST].next_batch()
        polled.worker.resync(SECOND, 0.0, "crossed")
        assert (polled.feeds[FIRST].asked, polled.feeds[SECOND].asked) == ([], [SECOND])


def test_recorder_of_another(tmp_path: Path) -> None:
    """A product that is being recorded into the same folder already ends the run: an ERROR, and code 1."""
    first, second = Shutdown(), Shutdown()
    parts = [
        CoinbaseSource([FIRST], POLICY.url, Timeouts(), shutdown, record=str(tmp_path)).build_part(
            "input", FIRST, None
        )
        for shutdown in (first, second)
    ]
    assert (first.code, second.code) == (None, 1)
    with pytest.raises(StopIteration):
        parts[1].next_batch()
    for part in parts:
        part.close()


def test_no_thread_for_a_look_up() -> None:
    """Where no thread can be started, a look-up fails as one without a network does, and the feed goes on."""

    class LookingUp(NumberedFeed):
        async def ws_agen(self) -> AsyncGenerator[tuple[Message, bytes]]:
            try:
                await asyncio.get_running_loop().getaddrinfo("localhost", 80)
            except OSError as error:
                yield heartbeat(FIRST, str(error)), b""

    worker = Worker(lambda product_ids: [LookingUp(product_ids)])
    worker.join(FIRST, FeedStats(), None)
    before = threading.stack_size(2**46)  # more than there are addresses
    try:
        [(_product, message)] = wait_until(lambda: worker.poll(FIRST))
    finally:
        threading.stack_size(before)
    assert message.time == "no thread for a name look-up: can't start new thread"
    worker.leave(FIRST)


def test_look_up_that_outlives_its_waiter(capfd: pytest.CaptureFixture[str]) -> None:
    """A look-up that takes longer than anyone waits for it holds nobody up, and its end is not logged."""
    asked, answered, threads = threading.Event(), threading.Event(), list[threading.Thread]()

    def look_up() -> None:
        threads.append(threading.current_thread())
        asked.wait(10)
        answered.set()

    class SlowFeed(NumberedFeed):
        async def ws_agen(self) -> AsyncGenerator[tuple[Message, bytes]]:
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.get_running_loop().run_in_executor(None, look_up)
            except TimeoutError:
                yield heartbeat(FIRST), b""

    worker = Worker(lambda product_ids: [SlowFeed(product_ids)])
    worker.join(FIRST, FeedStats(), None)
    wait_until(lambda: worker.poll(FIRST))
    worker.leave(FIRST)
    (thread,) = threads
    assert thread.daemon
    asked.set()
    assert answered.wait(10)
    thread.join(10)
    gc.collect()
    assert capfd.readouterr().err == ""
