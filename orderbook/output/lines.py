"""Lines to stdout, whole whatever the number of workers and processes.

Python's buffered stdout tears lines between workers. One `os.write` of at most `PIPE_BUF` bytes is atomic on
a pipe (POSIX), so lines are written in chunks of that size, each of whole lines.
"""

import logging
import os
import select
import sys
import threading
from typing import TextIO

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from orderbook.shutdown import Shutdown, logged

log = logging.getLogger(__name__)


class LineSink(DynamicSink[object]):
    """Each item's `str` as a line on stdout; a reader that goes away ends the run, quietly.

    `lines` counts those that were written. In a notebook, whose stdout is its own, they appear in the cell.
    """

    def __init__(self, shutdown: Shutdown) -> None:
        self.lines = 0
        self.stopped = False
        # One worker writes at a time: of two, one may fill the pipe after the other found room in it, which
        # then waits in `os.write` for a reader that may have stopped for good.
        self.lock = threading.Lock()
        self._shutdown = shutdown
        self._descriptor: int | None = None

    def claim_stdout(self) -> None:
        """Keep stdout for the lines alone: what others print goes to stderr from now on.

        The engine prints to stdout for as long as a process of a cluster waits for another. Raises
        `SystemExit` where stdout is closed.
        """
        descriptor = _stdout_descriptor()
        self._descriptor = os.dup(descriptor)
        if sys.stderr is not None:
            os.dup2(sys.stderr.fileno(), descriptor)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "LinePartition | StreamPartition":
        if self._descriptor is not None:
            return LinePartition(self, self._descriptor, self._shutdown)
        if sys.stdout is not None and sys.stdout is not sys.__stdout__:
            return StreamPartition(self, sys.stdout)
        return LinePartition(self, _stdout_descriptor(), self._shutdown)

    def stop(self, code: int) -> None:
        """End the run, since lines could not be delivered.

        No line of any worker follows, so none is missing between those that were delivered.
        """
        self.stopped = True
        self._shutdown.request(code)
        self._shutdown.abandon()


def _stdout_descriptor() -> int:
    if sys.stdout is None:
        raise SystemExit("stdout is closed: there is nowhere to print to")
    return sys.stdout.fileno()


class StreamPartition(StatelessSinkPartition[object]):
    """A worker's way to a stdout that Python code has replaced, and that is no file descriptor."""

    def __init__(self, sink: LineSink, stream: TextIO) -> None:
        self._sink = sink
        self._stream = stream

    @logged
    def write_batch(self, items: list[object]) -> None:
        """Write a batch's lines."""
        with self._sink.lock:
            self._stream.write("".join(f"{item}\n" for item in items))
            self._sink.lines += len(items)


class LinePartition(StatelessSinkPartition[object]):
    """A worker's way to the file descriptor that all workers write to."""

    def __init__(self, sink: LineSink, descriptor: int, shutdown: Shutdown) -> None:
        self._sink = sink
        self._descriptor = descriptor
        self._shutdown = shutdown
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    @logged
    def write_batch(self, items: list[object]) -> None:
        """Write a batch's lines; waits for a slow reader, though not past the run's end."""
        chunk = b""
        for item in items:
            line = f"{item}\n".encode()
            if chunk and len(chunk) + len(line) > select.PIPE_BUF:
                self._write(chunk)
                chunk = b""
            chunk += line
        if chunk:
            self._write(chunk)

    def _write(self, chunk: bytes) -> None:
        lines = chunk.count(b"\n")
        with self._sink.lock:
            try:
                while chunk and self._is_writable():
                    try:
                        written = os.write(self._descriptor, chunk)
                    except BlockingIOError:  # a stdout that was inherited non-blocking, and is full
                        continue
                    chunk = chunk[written:]
            except BrokenPipeError:
                self._sink.stop(0)
            except OSError as error:
                log.error("stdout: %s; lines are lost from here on", error)
                self._sink.stop(1)
            self._sink.lines += lines - chunk.count(b"\n")

    def _is_writable(self) -> bool:
        # A reader that has stopped reading must not keep a Ctrl-C from working: os.write would wait
        # for it for ever.
        while not self._sink.stopped and not self._poll.poll(100):
            if self._shutdown.requested:
                self._sink.stop(0)
        return not self._sink.stopped
