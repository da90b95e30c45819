"""How it is told: lines to stdout, whole whatever the number of workers and processes.

Python's buffered stdout tears lines between workers. One `os.write` of at most `PIPE_BUF` bytes is
atomic on a pipe (POSIX), so lines go out in pieces of that size, cut at line ends.
"""

import logging
import os
import select
import sys
import threading
from functools import cache

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from orderbook.shutdown import Shutdown, logged

log = logging.getLogger(__name__)

# A process has one stdout. Where workers could write side by side, one may fill the pipe after another
# found room in it, which then waits in `os.write` for a reader that may have stopped for good.
_stdout = threading.Lock()


@cache
def claim_stdout() -> int:
    """The descriptor of stdout; where the engine's command is what runs, ours alone from then on.

    The engine prints to stdout itself, as long as a process of a cluster waits for another; that, and
    whatever else is printed, goes to stderr instead. Raises `SystemExit` where stdout is closed.
    """
    if sys.stdout is None:
        raise SystemExit("stdout is closed: there is nowhere to print to")
    descriptor = sys.stdout.fileno()
    command = sys.modules["__main__"].__spec__
    if command is None or command.name != "bytewax.run" or sys.stderr is None:
        return descriptor
    ours = os.dup(descriptor)
    os.dup2(sys.stderr.fileno(), descriptor)
    return ours


class LineSink(DynamicSink[object]):
    """Each item's `str` as a line on stdout; a reader that goes away ends the run, quietly."""

    def __init__(self, shutdown: Shutdown) -> None:
        self.lines = 0  # written so far
        self._descriptor = 1
        self._shutdown = shutdown

    def claim_stdout(self) -> None:
        """Take stdout over for the lines, at the start of a run."""
        self._descriptor = claim_stdout()

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "LinePartition":
        return LinePartition(self, self._descriptor, self._shutdown)


class LinePartition(StatelessSinkPartition[object]):
    """A worker's way to the file descriptor that all workers write to."""

    def __init__(self, sink: LineSink, descriptor: int, shutdown: Shutdown) -> None:
        self._sink = sink
        self._descriptor = descriptor
        self._shutdown = shutdown
        self._broken = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    @logged
    def write_batch(self, items: list[object]) -> None:
        """Write a batch's lines; waits for a slow reader, though not past the run's end."""
        piece = b""
        for item in items:
            line = f"{item}\n".encode()
            if piece and len(piece) + len(line) > select.PIPE_BUF:
                self._write(piece)
                piece = b""
            piece += line
        if piece:
            self._write(piece)

    def _write(self, piece: bytes) -> None:
        try:
            with _stdout:
                self._sink.lines += piece.count(b"\n")
                while piece and self._is_writable():
                    try:
                        written = os.write(self._descriptor, piece)
                    except BlockingIOError:  # a stdout that was handed to us non-blocking, and is full
                        continue
                    piece = piece[written:]
        except BrokenPipeError:
            self._break(0)
        except OSError as error:
            log.error("stdout: %s; lines are lost from here on", error)
            self._break(1)

    def _is_writable(self) -> bool:
        # A reader that has stopped reading must not keep a Ctrl-C from working: os.write would wait
        # for it for ever.
        while not self._broken and not self._poll.poll(100):
            if self._shutdown.requested:
                self._break(0)
        return not self._broken

    def _break(self, code: int) -> None:
        self._broken = True  # what is left out leaves no gap: no line follows it
        self._shutdown.request(code)
        self._shutdown.abandon()
