"""The source, polled by hand as the engine does: a partition a product, none of which ever blocks."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread, current_thread
from threading import enumerate as enumerate_threads
from types import TracebackType
from typing import Any, Self

import pytest

from orderbook.book import CrossedBook
from orderbook.coinbase.messages import BookMessage, Heartbeat, decode
from orderbook.feed.client import FeedSettings
from orderbook.feed.resync import ResyncSink
from orderbook.feed.source import CoinbasePartition, CoinbaseSource, WorkerLoop
from orderbook.metrics import FeedMetrics, Metrics
from orderbook.shutdown import Ending
from tests.exchange import Exchange
from tests.support.client import DEADLINE, PRODUCT, handed_on

OTHER = "ETH-EUR"
NEVER_BLOCKS = 0.25  # seconds: no poll takes longer, however busy the machine


class Worker:
    """A source's partitions, built and polled one after another, over and over, as a worker does."""

    def __init__(self, source: CoinbaseSource, ending: Ending) -> None:
        self.parts = {part: source.build_part("input", part, None) for part in source.list_parts()}
        self.messages: dict[str, list[BookMessage]] = {part: [] for part in self.parts}
        self.ended: list[str] = []
        self.slowest = 0.0  # seconds that a poll took
        self._ending = ending

    def poll(self, part: str) -> None:
        """Poll a partition once, unless it has ended."""
        if part in self.ended:
            return
        began = time.monotonic()
        try:
            for product_id, message in self.parts[part].next_batch():
                self.messages[product_id].append(message)
        except StopIteration:
            self.ended.append(part)
        self.slowest = max(self.slowest, time.monotonic() - began)

    def poll_until(self, true: Callable[[], Any], *parts: str) -> None:
        """Poll these partitions, or all, until something is true; `TimeoutError` if it never is."""
        deadline = time.monotonic() + DEADLINE
        while not true():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so within {DEADLINE} s")
            for part in parts or self.parts:
                self.poll(part)
            time.sleep(0.001)  # the engine's own pause

    def close(self) -> float:
        """End as the engine does; answers how many seconds it took."""
        began = time.monotonic()
        for part in self.parts.values():
            part.close()
        return time.monotonic() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.finish(0)
        self.close()


def source_of(
    exchange: Exchange, ending: Ending, *products: str, record: Path | None = None, hint: str = ""
) -> CoinbaseSource:
    """A source of these products, or of all that the exchange has."""
    return CoinbaseSource(
        list(products or exchange.products),
        FeedSettings(exchange.url),
        ending,
        Metrics(),
        record=str(record) if record else None,
        hint=hint,
    )


def test_gives_what_was_sent() -> None:
    """The partitions give their products' messages, all of them and each product's in order."""
    ending = Ending()
    with (
        Exchange([PRODUCT, OTHER], rate=200) as exchange,
        Worker(source_of(exchange, ending), ending) as worker,
    ):
        worker.poll_until(lambda: all(len(messages) > 100 for messages in worker.messages.values()))
        exchange.pause()
        wanted = {product: handed_on(exchange, product)[0] for product in exchange.products}
        worker.poll_until(
            lambda: all(len(worker.messages[product]) >= len(wanted[product]) for product in wanted)
        )
        for product, frames in wanted.items():
            assert worker.messages[product][: len(frames)] == [decode(frame) for frame in frames]
        assert worker.ended == []
        assert worker.slowest < NEVER_BLOCKS


@pytest.mark.parametrize("trouble", ["handshake_hangs", "connection_refused", "silence_without_heartbeats"])
def test_never_blocks(trouble: str, caplog: pytest.LogCaptureFixture) -> None:
    """While a product's exchange hangs, is away or says nothing, each poll returns at once, with nothing."""
    ending = Ending()
    with Exchange([PRODUCT, OTHER], rate=0) as exchange:
        if trouble == "connection_refused":
            exchange.close_listener()
        else:
            exchange.fault(trouble, times=2)
        with Worker(source_of(exchange, ending, hint="read a book"), ending) as worker:
            until = time.monotonic() + 1
            worker.poll_until(lambda: time.monotonic() > until)
            assert worker.ended == []
            assert worker.slowest < NEVER_BLOCKS
    # One hint is enough for all products.
    assert caplog.messages.count("read a book") == (trouble == "connection_refused")


def test_polls_again_soon() -> None:
    """The partition that hands on asks to be polled at once or nearly, the others seldom, but in time."""
    ending = Ending()
    with Exchange([PRODUCT, OTHER]) as exchange, Worker(source_of(exchange, ending), ending) as worker:
        for product, least, most in ((PRODUCT, 0.0, 0.01), (OTHER, 0.05, 0.2)):
            worker.poll(product)
            before = datetime.now(UTC)
            awake = worker.parts[product].next_awake()
            assert before + timedelta(seconds=least) <= awake
            assert awake < datetime.now(UTC) + timedelta(seconds=most)
            assert worker.parts[product].snapshot() is None


@pytest.mark.parametrize("leads", [True, False])
def test_refused_product_ends_alone(leads: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A product that is refused ends, with one ERROR; the others don't, even where its partition leads."""
    ending, products = Ending(), [PRODUCT, "BTC-XXX"]
    with (
        Exchange([PRODUCT], rate=100) as exchange,
        Worker(source_of(exchange, ending, *reversed(products) if leads else products), ending) as worker,
    ):
        worker.poll_until(
            lambda: "BTC-XXX is not a valid product" in caplog.text and len(worker.messages[PRODUCT]) > 10
        )
        if not leads:
            worker.poll_until(lambda: worker.ended)
            worker.parts["BTC-XXX"].close()  # as the engine does at once
        more = len(worker.messages[PRODUCT]) + 10
        worker.poll_until(lambda: len(worker.messages[PRODUCT]) > more)
        assert worker.ended == ([] if leads else ["BTC-XXX"])
    (error,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert error.startswith("BTC-XXX: ")
    assert "BTC-XXX is not a valid product" in error


def test_all_products_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Where no product is left, every partition is at its end, the one that leads too."""
    ending = Ending()
    with (
        Exchange([PRODUCT]) as exchange,
        Worker(source_of(exchange, ending, "BTC-XXX", "BTC-YYY"), ending) as worker,
    ):
        worker.poll_until(lambda: worker.ended)
        assert worker.ended == ["BTC-YYY"]
        worker.parts["BTC-YYY"].close()
        worker.poll_until(lambda: len(worker.ended) == 2)
        assert not ending.reached
        assert ending.code_of_its_own == 1


def test_the_first_partition_of_a_thread_serves_all_of_it() -> None:
    """Polling it turns the loop of all that were built in its thread, and of none of another thread."""
    ending = Ending()
    with Exchange([PRODUCT, OTHER, "BTC-GBP"]) as exchange:
        source = source_of(exchange, ending, PRODUCT, OTHER)
        elsewhere: list[CoinbasePartition] = []
        alone = source_of(exchange, ending, "BTC-GBP")
        thread = Thread(target=lambda: elsewhere.append(source.build_part("input", PRODUCT, None)))
        with Worker(source, ending) as worker, Worker(alone, ending):
            thread.start()
            thread.join()
            worker.poll_until(lambda: exchange.live(PRODUCT) and exchange.live(OTHER), PRODUCT)
            assert len(exchange.attempts) == 2
            worker.poll_until(lambda: all(worker.messages.values()), PRODUCT)
            assert worker.parts[OTHER].next_batch() == []
        elsewhere[0].close()


@pytest.mark.parametrize("answers", [True, False])
def test_ending(answers: bool) -> None:
    """Once the end is reached every partition says so, and closing says goodbye to all within a second."""
    ending = Ending()
    with (
        Exchange([PRODUCT, OTHER], rate=100) as exchange,
        Worker(source_of(exchange, ending), ending) as worker,
    ):
        worker.poll_until(lambda: all(worker.messages.values()))
        if not answers:
            for connection in exchange.connections:  # they never get to hear of it
                connection.socket.loop.call_soon_threadsafe(connection.socket.transport.pause_reading)
        ending.finish(0)
        worker.poll(PRODUCT)
        worker.poll(OTHER)
        assert worker.ended == [PRODUCT, OTHER]
        assert worker.close() < 1.0
        if answers:
            exchange.wait(lambda: all(c.close_code == 1000 for c in exchange.connections), 5)
            assert all(connection.closed_by_client for connection in exchange.connections)


async def _one_and_a_crash() -> AsyncIterator[tuple[str, BookMessage]]:
    yield PRODUCT, Heartbeat(PRODUCT)
    await asyncio.sleep(0)
    raise RuntimeError("crashed on purpose")


async def _endless(product: str, recorded: list[str]) -> AsyncIterator[tuple[str, BookMessage]]:
    while True:
        await asyncio.sleep(0)
        recorded.append(product)
        yield product, Heartbeat(product)


def test_all_that_was_recorded_is_handed_on() -> None:
    """A poll gives all that its turn of the loop brought in; so nothing is left when the end comes."""
    loop, ending, recorded = WorkerLoop(), Ending(), list[str]()
    parts = [
        CoinbasePartition(product, _endless(product, recorded), loop, ending, FeedMetrics())
        for product in (PRODUCT, OTHER)
    ]
    got = [message for part in parts * 3 for message in part.next_batch()]
    assert sorted(product for product, _message in got) == sorted(recorded) != []
    ending.finish(0)
    for part in parts:
        with pytest.raises(StopIteration):
            part.next_batch()
    for part in parts:
        part.close()
    assert len(got) == len(recorded)


def test_look_up_that_outlives_its_waiter(capfd: pytest.CaptureFixture[str]) -> None:
    """A resolver that takes longer than anyone waits for it says nothing when it is done."""
    asked, answered = Event(), Event()

    def slow() -> None:
        asked.wait(DEADLINE)
        answered.set()

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.get_running_loop().run_in_executor(None, slow)

    loop = WorkerLoop()
    loop.join("a partition")
    task = loop.start(impatient())
    while not task.done():
        loop.turn()
    loop.leave("a partition")
    asked.set()
    assert answered.wait(DEADLINE)
    for thread in enumerate_threads():
        if thread is not current_thread() and thread.daemon:
            thread.join(0.5)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("crashing", [0, 1])
def test_crash(crashing: int, caplog: pytest.LogCaptureFixture) -> None:
    """The unexpected comes out of a poll, its traceback logged, after the messages that came before it.

    However much another product brings meanwhile, and whichever of the two partitions leads.
    """
    loop = WorkerLoop()
    feeds = [_endless(OTHER, []), _endless(OTHER, [])]
    feeds[crashing] = _one_and_a_crash()
    parts = [CoinbasePartition(PRODUCT, feed, loop, Ending(), FeedMetrics()) for feed in feeds]
    got: list[tuple[str, BookMessage]] = []
    with pytest.raises(RuntimeError, match="crashed on purpose"):
        for part in parts * 100:
            got += part.next_batch()
    assert got.count((PRODUCT, Heartbeat(PRODUCT))) == 1
    assert (OTHER, Heartbeat(OTHER)) in got
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert f"in the feed of {PRODUCT}" in caplog.text
    assert record.exc_info
    for part in parts:
        part.close()


def test_two_recorders_of_a_product(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A product that is being recorded into the same folder already ends the run: an ERROR, and code 1."""
    first, second = Ending(), Ending()
    with (
        Exchange([PRODUCT], rate=0) as exchange,
        Worker(source_of(exchange, first, record=tmp_path), first) as worker,
    ):
        with Worker(source_of(exchange, second, record=tmp_path), second) as late:
            assert second.code == 1
            late.poll(PRODUCT)
            assert late.ended == [PRODUCT]
        (error,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert str(tmp_path / "BTC-EUR.jsonl") in error
        worker.poll_until(lambda: worker.messages[PRODUCT])
        assert not first.reached


def test_resync_sink() -> None:
    """The sink has exactly the source's parts, and each has the connection of its own product replaced."""
    ending = Ending()
    with Exchange([PRODUCT, OTHER, "BTC-GBP"], rate=0) as exchange:
        source = source_of(exchange, ending, OTHER, PRODUCT, "BTC-GBP")
        sink = ResyncSink(source)
        assert sink.list_parts() == source.list_parts()
        assert [sink.part_fn(product) for product in ("BTC-EUR", "BTC-GBP", "ETH-EUR")] == [0, 1, 2]
        with Worker(source, ending) as worker:
            worker.poll_until(lambda: all(worker.messages.values()))
            crossed_before = CrossedBook(2.0, 1.0, seconds=60.0)
            sink.build_part("resync", PRODUCT, None).write_batch([crossed_before])
            crossed_since = CrossedBook(2.0, 1.0, seconds=0.0)
            sink.build_part("resync", OTHER, None).write_batch([crossed_before, crossed_since])
            worker.poll_until(lambda: len(exchange.connections) == 4 and exchange.live(OTHER))
            (replaced,) = [connection for connection in exchange.connections if not connection.open]
            assert replaced.products == exchange.connections[3].products == [OTHER]
