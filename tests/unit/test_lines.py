"""Lines to stdout, through real pipes: whole, whoever writes and whoever reads, or stops reading."""

import io
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest

from orderbook.output.lines import LinePartition, LineSink
from orderbook.shutdown import Shutdown
from tests.support.pipe import Pipe


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def sink_to(descriptor: int, shutdown: Shutdown) -> LineSink:
    """A sink whose lines go to this descriptor."""
    sink = LineSink(shutdown)
    sink.write_to(descriptor)
    return sink


def start_workers(pipe: Pipe, shutdown: Shutdown, *work: list[list[object]]) -> list[threading.Thread]:
    """Start a worker for each list of batches; it writes them to the pipe until the shutdown."""
    sink = sink_to(pipe.writer, shutdown)

    def write(partition: LinePartition, batches: list[list[object]]) -> None:
        for items in batches:
            if shutdown.requested:
                break
            partition.write_batch(items)

    for batches in work:
        arguments = (sink.build("out", 0, 1), batches)
        thread = threading.Thread(target=write, args=arguments, daemon=True)
        thread.start()
        pipe.writers.append(thread)
    return pipe.writers


def lines_of(items: list[object]) -> bytes:
    """What must be written for these items."""
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
    """Each item is a line, in the order of items and batches, also where stdout is non-blocking."""
    batches = [batch("a", 3), [], batch("b", 5_000), batch("c", 1), batch("long", 3, select.PIPE_BUF * 40)]
    os.set_blocking(pipe.writer, blocking)
    pipe.read_all()
    start_workers(pipe, Shutdown(), batches)
    assert pipe.close() == b"".join(lines_of(items) for items in batches)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has pipes that keep writes apart"
)
def test_a_write_is_whole_lines_and_at_most_what_is_atomic() -> None:
    """A batch is written in few writes of up to PIPE_BUF bytes, which no other writer can tear."""
    big, small = batch("big", 1_000), batch("small", 20)
    pipe = Pipe(os.O_DIRECT)
    pipe.read_all()
    start_workers(pipe, Shutdown(), [big, small])
    assert pipe.close() == lines_of(big + small)
    *packets, last = pipe.packets
    assert last == lines_of(small), "a batch that fits is one write"
    assert all(packet.endswith(b"\n") and len(packet) <= select.PIPE_BUF for packet in packets)
    assert all(len(packet) > select.PIPE_BUF - 200 for packet in packets[:-1])


def test_a_line_longer_than_an_atomic_write_is_whole(pipe: Pipe) -> None:
    """A line of more than PIPE_BUF bytes is written by itself: the lines before and after it stay whole."""
    items = [*batch("before", 2), "y" * (3 * select.PIPE_BUF), *batch("after", 2)]
    sink_to(pipe.writer, Shutdown()).build("out", 0, 1).write_batch(items)
    assert os.read(pipe.reader, 65_536) == lines_of(items)


@BLOCKING
def test_writers_never_tear_each_others_lines(pipe: Pipe, blocking: bool) -> None:
    """Of four workers that write to one pipe at once, every line comes whole, each worker's in order."""
    all_items = {name: batch(name, 5_000) for name in "abcd"}
    os.set_blocking(pipe.writer, blocking)
    start_workers(pipe, Shutdown(), *(in_batches(items) for items in all_items.values()))
    pipe.wait_until_full()
    pipe.read_all()
    received = pipe.close().decode().splitlines()
    assert len(received) == 20_000
    for name, items in all_items.items():
        assert [line for line in received if line.startswith(f"('{name}-")] == [str(item) for item in items]


def test_a_reader_that_goes_away_ends_the_run_quietly(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    """A reader that has seen enough, as `head -1`, ends the run: exit code 0, no exception, no log line."""
    shutdown = Shutdown()
    lines = sink_to(pipe.writer, shutdown).build("out", 0, 1)
    lines.write_batch(batch("a", 2))
    assert not shutdown.requested
    pipe.close_reader()
    lines.write_batch(batch("b", 2_000))
    assert shutdown.code == 0
    lines.write_batch(batch("c", 2))
    assert caplog.records == []


def test_a_slow_reader_gets_every_line(pipe: Pipe) -> None:
    """A run waits for a reader that pauses: no line is lost."""
    items = batch("a", 2_000)
    start_workers(pipe, Shutdown(), [items])
    pipe.wait_until_full()
    pipe.read_all()
    assert pipe.close() == lines_of(items)


def test_a_reader_that_stopped_does_not_delay_the_shutdown(pipe: Pipe) -> None:
    """A pager that waits for its user makes the run wait, but not past its shutdown, however big a batch."""
    shutdown = Shutdown()
    [thread] = start_workers(pipe, shutdown, [batch("a", 5_000)])
    pipe.wait_until_full()
    thread.join(0.3)
    assert thread.is_alive(), "lines were thrown away while the run went on"
    shutdown.request(0)
    thread.join(3)
    assert not thread.is_alive()


def test_lines_that_are_left_out_leave_no_gap(pipe: Pipe) -> None:
    """A reader that goes on during the shutdown gets the lines up to some point, and none behind it.

    Those that it gets are the ones that are counted.
    """
    shutdown, first = Shutdown(), batch("first", 700)
    sink = sink_to(pipe.writer, shutdown)
    lines = sink.build("out", 0, 1)
    shutdown.request(0)
    lines.write_batch(first)
    received = os.read(pipe.reader, 10**6)
    lines.write_batch(batch("second", 2))
    assert received == lines_of(first)[: len(received)] != lines_of(first), "all went into the pipe"
    assert not select.select([pipe.reader], [], [], 0)[0]
    assert sink.lines == received.count(b"\n")


def test_a_reader_that_stopped_delays_none_of_many_workers() -> None:
    """The shutdown ends all workers that wait, also where the reader made room for one before it stopped."""
    for attempt in range(10):  # who gets the room is a matter of luck
        pipe, shutdown = Pipe(), Shutdown()
        line: object = "z" * (select.PIPE_BUF - 100)  # takes the room that the reader makes with one read
        threads = start_workers(pipe, shutdown, *([[[line]] * 1_000] * 16))
        pipe.wait_until_full()
        os.read(pipe.reader, select.PIPE_BUF)
        pipe.wait_until_full()
        shutdown.request(0)
        end = time.monotonic() + 3
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
        stuck = sum(thread.is_alive() for thread in threads)
        pipe.close()
        assert stuck == 0, f"attempt {attempt}: {stuck} workers never end"


def test_a_full_disk_is_logged_and_ends_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """Lines that can't be written are lost: one ERROR with the reason for all workers, and exit code 1."""
    shutdown = Shutdown()
    with open("/dev/full", "wb", buffering=0) as full:
        sink = sink_to(full.fileno(), shutdown)
        for worker in range(4):
            sink.build("out", worker, 4).write_batch(batch("a", 10))
    assert (shutdown.code, sink.lines) == (1, 0)
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert "No space left on device" in record.getMessage()


def test_workers_of_a_sink_count_together(pipe: Pipe) -> None:
    """The lines of all workers are counted in one place, none twice and none missed."""
    sink = sink_to(pipe.writer, Shutdown())
    pipe.read_all()
    for worker in range(4):
        lines = sink.build("out", worker, 4)
        thread = threading.Thread(target=lines.write_batch, args=[batch("a", 2_000)], daemon=True)
        thread.start()
        pipe.writers.append(thread)
    assert pipe.close().count(b"\n") == sink.lines == 8_000


def test_lines_go_to_a_stdout_that_was_replaced() -> None:
    """Where Python code has replaced stdout, as a notebook does, lines are written to what it is then."""
    sink = LineSink(Shutdown())
    with redirect_stdout(io.StringIO()) as cell:
        lines = sink.build("out", 0, 1)
        lines.write_batch(batch("a", 3))
        lines.write_batch([])
        lines.write_batch(batch("b", 1))
    assert cell.getvalue().encode() == lines_of(batch("a", 3) + batch("b", 1))
    assert sink.lines == 4


def test_a_closed_stdout_is_said_before_the_run() -> None:
    """Where stdout is closed, as by `>&-`, the run ends before it starts, with one line."""
    sink = LineSink(Shutdown())
    for attempt in (sink.claim_stdout, lambda: sink.build("out", 0, 1)):
        with redirect_stdout(None), pytest.raises(SystemExit, match="stdout is closed"):
            attempt()
