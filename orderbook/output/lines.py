"""Lines to stdout, whole whatever the number of workers and processes."""

import os
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from orderbook.output.backlog import Backlog
from orderbook.output.encoding import json_line
from orderbook.output.writer import LineWriter, own_descriptor
from orderbook.shutdown import Shutdown, logged


def text_line(item: object) -> bytes:
    """An item as it is printed, in 1 µs."""
    return f"{item}\n".encode()


LINES: dict[str, Callable[[Any], bytes]] = {"text": text_line, "json": json_line}
"""What makes a line of a product and its summary, by the name of the format."""


class LineSink(DynamicSink[object]):
    """Each item as a line on stdout; a reader that goes away ends the run, quietly.

    A slow reader is waited for. With `stale_after` nothing is: lines wait beside the dataflow, and those
    that have waited for so many seconds are dropped. `lines` counts those that were written, `dropped` those
    that were not. In a notebook, whose stdout is its own, they appear in the cell.
    """

    def __init__(
        self,
        shutdown: Shutdown,
        stale_after: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        encode: Callable[[Any], bytes] = text_line,
    ) -> None:
        self._shutdown = shutdown
        self._encode = encode
        self._backlog = None if stale_after is None else Backlog(stale_after, clock)
        self._writer: LineWriter | StreamWriter | None = None
        self._building = threading.Lock()

    @property
    def lines(self) -> int:
        """Lines that were written."""
        return self._writer.lines if self._writer else 0

    @property
    def dropped(self) -> int:
        """Lines that were dropped since the reader did not take them in time."""
        return self._backlog.dropped if self._backlog else 0

    def claim_stdout(self) -> None:
        """Keep stdout for the lines alone: what others print goes to stderr from now on.

        The engine prints to stdout for as long as a process of a cluster waits for another. Raises
        `SystemExit` where stdout is closed.
        """
        descriptor = _stdout_descriptor()
        self.write_to(own_descriptor(descriptor))
        if sys.stderr is not None:
            os.dup2(sys.stderr.fileno(), descriptor)

    def write_to(self, descriptor: int) -> None:
        """Write to this descriptor, whatever stdout is."""
        self._writer = LineWriter(descriptor, self._shutdown, self._backlog)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "LinePartition":
        with self._building:  # workers build theirs at the same time
            self._writer = self._writer or self._writer_to_stdout()
            return LinePartition(self._writer, self._encode)

    def _writer_to_stdout(self) -> "LineWriter | StreamWriter":
        if sys.stdout is not None and sys.stdout is not sys.__stdout__:
            return StreamWriter(sys.stdout)
        return LineWriter(_stdout_descriptor(), self._shutdown, self._backlog)


def _stdout_descriptor() -> int:
    if sys.stdout is None:
        raise SystemExit("stdout is closed: there is nowhere to print to")
    return sys.stdout.fileno()


class StreamWriter:
    """Writes to a stdout that Python code has replaced, and that is no file descriptor."""

    def __init__(self, stream: TextIO) -> None:
        self.lines = 0
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, chunk: bytes) -> None:
        """Write whole lines."""
        with self._lock:
            self._stream.write(chunk.decode())
            self.lines += chunk.count(b"\n")

    def close(self) -> None:
        """Nothing waits here."""


class LinePartition(StatelessSinkPartition[object]):
    """A worker's way to the writer that all workers share: batches become chunks of whole lines.

    Python's buffered stdout tears lines between workers, so a chunk is at most the `PIPE_BUF` bytes that a
    pipe takes whole, unless a single line is longer.
    """

    def __init__(self, writer: LineWriter | StreamWriter, encode: Callable[[Any], bytes]) -> None:
        self._writer = writer
        self._encode = encode

    @logged
    def write_batch(self, items: list[object]) -> None:
        """Write a batch's lines."""
        chunk = b""
        for item in items:
            line = self._encode(item)
            if chunk and len(chunk) + len(line) > select.PIPE_BUF:
                self._writer.write(chunk)
                chunk = b""
            chunk += line
        if chunk:
            self._writer.write(chunk)

    @logged
    def close(self) -> None:
        """The run is over: what still waits gets a moment, then it is given up."""
        self._writer.close()
