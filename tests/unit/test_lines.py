"""The sink: lines reach a real pipe whole, whoever writes and whoever reads, or stops reading."""

import os
import select
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from orderbook.output.lines import LinePartition, LineSink
from orderbook.shutdown import Shutdown

DEADLINE = 10.0  # seconds


class Pipe:
    """A pipe that is written to by workers in threads, and read by the test, or by a thread of its own."""

    def __init__(self, flags: int = 0) -> None:
        self.reader, self.writer = os.pipe2(flags)
        self.packets: list[bytes] = []  # what each read of the reading thread gave
        self._reading: threading.Thread | None = None
        self._workers: list[threading.Thread] = []

    def partition(self, shutdown: Shutdown) -> LinePartition:
        """A worker's partition that writes to this pipe."""
        return LinePartition(LineSink(shutdown), self.writer, shutdown)

    def work(self, shutdown: Shutdown, *work: list[list[object]]) -> list[threading.Thread]:
        """Start a worker for each list of batches; it writes them through a partition of its own."""

        def write(partition: LinePartition, batches: list[list[object]]) -> None:
            for items in batches:
                if shutdown.requested:
                    break
                partition.write_batch(items)

        for batches in work:
            thread = threading.Thread(target=write, args=(self.partition(shutdown), batches), daemon=True)
            thread.start()
            self._workers.append(thread)
        return self._workers

    def read_all(self) -> None:
        """Start to read, till the writing end is closed."""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        while packet := os.read(self.reader, 65_536):
            self.packets.append(packet)

    def wait_till_full(self) -> None:
        """Wait till no more goes into the pipe, which nobody reads."""
        poll, end = select.poll(), time.monotonic() + DEADLINE
        poll.register(self.writer, select.POLLOUT)
        while poll.poll(0):
            assert time.monotonic() < end, "the pipe is still not full"
            time.sleep(0.001)

    def close_reader(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close(self) -> bytes:
        """Close both ends once nobody uses them any more; all that the reading thread got."""
        if not self._reading:
            self.close_reader()  # frees a worker that is stuck in a write
        for thread in self._workers:
            thread.join(DEADLINE)
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1
        if self._reading:
            self._reading.join(DEADLINE)
            self.close_reader()
        return b"".join(self.packets)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def lines_of(items: list[object]) -> bytes:
    """What must come out for these items."""
    return "".join(f"{item}\n" for item in items).encode()


def batch(name: str, count: int, length: int = 130) -> list[object]:
    """Items of some length, each with a number of its own."""
    return [(f"{name}-{n}", "x" * (length - n % 50)) for n in range(count)]


def in_batches(items: list[object]) -> list[list[object]]:
    """The items in batches of uneven sizes, each a write of its own."""
    batches, start = [], 0
    while start < len(items):
        batches.append(items[start : start + 1 + start % 25])
        start += len(batches[-1])
    return batches


BLOCKING = pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "non-blocking"])


@BLOCKING
def test_lines_come_whole_and_in_order(pipe: Pipe, blocking: bool) -> None:
    """Each item is a line, in the order of the items and batches, also through a stdout that never waits."""
    batches = [batch("a", 3), [], batch("b", 5_000), batch("c", 1), batch("long", 3, select.PIPE_BUF * 40)]
    os.set_blocking(pipe.writer, blocking)
    pipe.read_all()
    pipe.work(Shutdown(), batches)
    assert pipe.close() == b"".join(lines_of(items) for items in batches)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has pipes that keep writes apart"
)
def test_a_write_is_whole_lines_and_no_longer_than_a_pipe_takes_at_once() -> None:
    """A batch goes out in few writes of up to PIPE_BUF bytes, which no other writer can cut."""
    big, small = batch("big", 1_000), batch("small", 20)
    pipe = Pipe(os.O_DIRECT)
    pipe.read_all()
    pipe.work(Shutdown(), [big, small])
    assert pipe.close() == lines_of(big + small)
    *packets, last = pipe.packets
    assert last == lines_of(small), "a batch that fits is one write"
    assert all(packet.endswith(b"\n") and len(packet) <= select.PIPE_BUF for packet in packets)
    assert all(len(packet) > select.PIPE_BUF - 200 for packet in packets[:-1])


def test_a_line_longer_than_a_pipe_takes_at_once_is_whole(pipe: Pipe) -> None:
    """Such a line goes out by itself: the lines before and after it stay whole."""
    items = [*batch("before", 2), "y" * (3 * select.PIPE_BUF), *batch("after", 2)]
    pipe.partition(Shutdown()).write_batch(items)
    assert os.read(pipe.reader, 65_536) == lines_of(items)


@BLOCKING
def test_writers_never_tear_each_others_lines(pipe: Pipe, blocking: bool) -> None:
    """Four workers that write to one pipe at once: every line comes out whole, each worker's in order."""
    all_items = {name: batch(name, 5_000) for name in "abcd"}
    os.set_blocking(pipe.writer, blocking)
    pipe.work(Shutdown(), *(in_batches(items) for items in all_items.values()))
    pipe.wait_till_full()
    pipe.read_all()
    received = pipe.close().decode().splitlines()
    assert len(received) == 20_000
    for name, items in all_items.items():
        assert [line for line in received if line.startswith(f"('{name}-")] == [str(item) for item in items]


def test_a_reader_that_goes_away_ends_the_run_quietly(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    """`| head -1` is a wish, not a fault: exit code 0, nothing raised and nothing said, then or later."""
    shutdown = Shutdown()
    partition = pipe.partition(shutdown)
    partition.write_batch(batch("a", 2))
    assert not shutdown.requested
    pipe.close_reader()
    partition.write_batch(batch("b", 2_000))
    assert shutdown.code == 0
    partition.write_batch(batch("c", 2))
    assert caplog.records == []


def test_a_slow_reader_gets_every_line(pipe: Pipe) -> None:
    """Waiting for a reader loses nothing: all that was written comes, once the reader goes on."""
    items = batch("a", 2_000)
    pipe.work(Shutdown(), [items])
    pipe.wait_till_full()
    pipe.read_all()
    assert pipe.close() == lines_of(items)


def test_a_reader_that_stopped_does_not_hold_the_end_up(pipe: Pipe) -> None:
    """A pager that waits for its user makes the dataflow wait, but not past a Ctrl-C, however big a batch."""
    shutdown = Shutdown()
    [thread] = pipe.work(shutdown, [batch("a", 5_000)])
    pipe.wait_till_full()
    thread.join(0.3)
    assert thread.is_alive(), "lines were thrown away while the run went on"
    shutdown.request(0)
    thread.join(1)
    assert not thread.is_alive()


def test_what_is_left_out_at_the_end_leaves_no_gap(pipe: Pipe) -> None:
    """A reader that goes on when the run is shutdown gets the lines up to some point, and none behind it."""
    shutdown, first = Shutdown(), batch("first", 700)
    partition = pipe.partition(shutdown)
    shutdown.request(0)
    partition.write_batch(first)
    received = os.read(pipe.reader, 10**6)
    partition.write_batch(batch("second", 2))
    assert received == lines_of(first)[: len(received)] != lines_of(first), "all went into the pipe"
    assert not select.select([pipe.reader], [], [], 0)[0]


def test_a_reader_that_stopped_holds_none_of_four_workers_up() -> None:
    """Nor where all workers wait, and a reader made room for fewer of them before it stopped."""
    for attempt in range(8):  # who gets the room is a matter of luck
        pipe, shutdown = Pipe(), Shutdown()
        line: object = "z" * (select.PIPE_BUF - 100)  # takes the room that the reader makes with one read
        threads = pipe.work(shutdown, *([[[line]] * 1_000] * 4))
        pipe.wait_till_full()
        os.read(pipe.reader, select.PIPE_BUF)
        pipe.wait_till_full()
        shutdown.request(0)
        end = time.monotonic() + 1
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
        stuck = sum(thread.is_alive() for thread in threads)
        pipe.close()
        assert stuck == 0, f"attempt {attempt}: {stuck} workers never end"


def test_a_full_disk_is_said_and_ends_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """Lines that can't be written are lost: ERROR with the reason, exit code 1."""
    shutdown = Shutdown()
    with open("/dev/full", "wb", buffering=0) as full:
        LinePartition(LineSink(shutdown), full.fileno(), shutdown).write_batch(batch("a", 10))
    assert shutdown.code == 1
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert "No space left on device" in record.getMessage()
