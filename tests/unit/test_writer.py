"""Writer of a live run's lines: never waits, whatever the reader does, and loses nothing silently."""

import os
import resource
import signal
import stat
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderbook.output.backlog import Backlog
from orderbook.output.writer import CLOSE_TIMEOUT, LineWriter, own_descriptor
from orderbook.shutdown import Shutdown
from tests.support.clock import Clock
from tests.support.pipe import Pipe
from tests.support.recordings import logged
from tests.support.waiting import DEADLINE, wait_until

LINES = [b"%d %s\n" % (n, b"x" * 120) for n in range(3_000)]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def write(writer: LineWriter, lines: list[bytes]) -> None:
    """Write each line by itself; `AssertionError` where a write waits for the reader."""

    def write_all() -> None:
        for line in lines:
            writer.write(line)

    thread = threading.Thread(target=write_all, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive(), "waits for its reader"


def test_slow_reader_of_a_pipe(pipe: Pipe) -> None:
    """A reader that pauses, and not for too long, holds up nobody and gets every line, in order and once."""
    writer = LineWriter(pipe.writer, Shutdown(), Backlog(5, Clock()))
    write(writer, LINES[:2_000])
    assert 0 < writer.lines < 2_000
    pipe.read_all()
    write(writer, LINES[2_000:])
    wait_until(lambda: writer.lines == len(LINES))
    assert pipe.close() == b"".join(LINES)


def test_slow_reader_of_a_terminal() -> None:
    """The same on a terminal, which takes of a line what it has room for."""
    master, slave = os.openpty()
    tty.setraw(slave)  # newlines come as they are
    own = own_descriptor(slave)
    writer = LineWriter(own, Shutdown(), Backlog(5, Clock()))
    try:
        write(writer, LINES)
        received = b""
        while len(received) < sum(map(len, LINES)):
            received += os.read(master, 65_536)
        assert received == b"".join(LINES)
        assert os.get_blocking(slave), "flags of others were changed"
    finally:
        for descriptor in (master, slave, own):
            os.close(descriptor)


def test_stale_lines_are_dropped(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    """After a long pause the reader gets what was in the pipe, then lines of the present, all whole."""
    clock = Clock()
    backlog = Backlog(5, clock)
    writer = LineWriter(pipe.writer, Shutdown(), backlog)
    write(writer, LINES[:1_000])
    in_pipe = writer.lines
    clock.now = 60
    write(writer, LINES[1_000:1_100])
    assert backlog.dropped == 1_000 - in_pipe
    pipe.read_all()
    wait_until(lambda: "present again" in caplog.text)
    write(writer, LINES[1_100:])
    wait_until(lambda: writer.lines == len(LINES) - backlog.dropped)
    assert pipe.close() == b"".join(LINES[:in_pipe] + LINES[1_000:])
    assert f": {backlog.dropped} lines were dropped" in logged(caplog)[-1][1]


def test_dropping_leaves_no_torn_line() -> None:
    """A line of which a part was taken is written to its end, however long that takes."""
    pipe, clock = Pipe(), Clock()
    os.set_blocking(pipe.writer, False)
    writer = LineWriter(pipe.writer, Shutdown(), backlog := Backlog(5, clock))
    long = b"y" * 200_000 + b"\n"
    write(writer, [long, b"stale\n"])
    clock.now = 60
    write(writer, [b"present\n"])
    pipe.read_all()
    wait_until(lambda: writer.lines == 2)
    assert pipe.close() == long + b"present\n"
    assert backlog.dropped == 1


def test_end_of_a_run(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    """At the end a reader that stopped has a moment; then what waits is given up, and how much is logged."""
    writer = LineWriter(pipe.writer, Shutdown(), Backlog(5, Clock()))
    write(writer, LINES)
    in_pipe = writer.lines
    began = time.monotonic()
    for _worker in range(4):
        writer.close()
    assert time.monotonic() - began < CLOSE_TIMEOUT * 4
    write(writer, LINES)
    [(level, message)] = logged(caplog)
    assert level == "WARNING"
    assert f": {len(LINES) - in_pipe:,} lines that wait" in message
    pipe.read_all()
    assert pipe.close() == b"".join(LINES[:in_pipe])


def test_end_of_a_run_that_is_read(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    """At the end a reader that reads gets all that still waits."""
    writer = LineWriter(pipe.writer, Shutdown(), Backlog(5, Clock()))
    write(writer, LINES)
    pipe.read_all()
    writer.close()
    assert pipe.close() == b"".join(LINES)
    assert caplog.records == []


def test_reader_that_goes_away_while_lines_wait(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    """It ends the run quietly, with exit code 0, though nothing more is written."""
    shutdown = Shutdown()
    writer = LineWriter(pipe.writer, shutdown, Backlog(5, Clock()))
    write(writer, LINES)
    assert not shutdown.requested
    pipe.close_reader()
    wait_until(lambda: shutdown.requested)
    writer.close()
    assert (shutdown.code, caplog.records) == (0, [])


@pytest.mark.parametrize("stale_after", [None, 5.0], ids=["replay", "live"])
@pytest.mark.parametrize(
    ("flags", "before", "after"),
    [
        (os.O_APPEND, b"earlier\n", b"earlier\n" + b"".join(LINES[:20])),
        (os.O_TRUNC, b"earlier\n", b"".join(LINES[:20])),
        # The file goes on behind our lines, so its end is not ours to cut.
        (0, b"z" * 9_999, b"".join(LINES[:20]) + LINES[20][:50] + b"z" * (9_949 - sum(map(len, LINES[:20])))),
    ],
    ids=["append", "truncate", "overwrite"],
)
def test_full_disk(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    flags: int,
    before: bytes,
    after: bytes,
    stale_after: float,
) -> None:
    """A file on a disk that takes half a line ends with its last whole line, and the run with code 1."""
    path, shutdown = tmp_path / "lines", Shutdown()
    path.write_bytes(before)
    descriptor = os.open(path, os.O_WRONLY | flags)
    writer = LineWriter(descriptor, shutdown, None if stale_after is None else Backlog(stale_after))
    room = sum(map(len, LINES[:20])) + 50 + (len(before) if flags == os.O_APPEND else 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel's own way to refuse a write in its middle, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        write(writer, [b"".join(LINES[:10]), b"".join(LINES[10:30]), *LINES[30:40]])
        wait_until(lambda: shutdown.requested)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    write(writer, LINES[40:50])
    assert (shutdown.code, writer.lines) == (1, 20)
    [(level, message)] = logged(caplog)
    assert level == "ERROR" and "File too large" in message
    more = b"next\n" if flags else b""
    os.write(descriptor, more)  # the offset went back with the end, or a hole would be before this
    os.close(descriptor)
    assert path.read_bytes() == after + more


def test_own_descriptor(pipe: Pipe, tmp_path: Path) -> None:
    """A pipe is non-blocking for us alone; a file keeps its offset, which others that append rely on."""
    own = own_descriptor(pipe.writer)
    assert (os.get_blocking(own), os.get_blocking(pipe.writer)) == (False, True)
    os.close(own)
    with open(tmp_path / "file", "wb", buffering=0) as file:
        file.write(b"a")
        own = own_descriptor(file.fileno())
        assert stat.S_ISREG(os.fstat(own).st_mode)
        os.write(own, b"b")
        os.close(own)
        file.write(b"c")
    assert (tmp_path / "file").read_bytes() == b"abc"
