"""Writer of whole lines to a file descriptor that all workers share.

One `os.write` of at most `PIPE_BUF` bytes is atomic on a pipe (POSIX): it is taken whole or not at all, and
no other process tears it. A terminal may take lines in part, and so may a disk that fills: the end of such a
line is written before anything else, and where the disk has no room for it, its beginning is cut off again.
"""

import logging
import os
import select
import stat
import threading
from contextlib import suppress

from orderbook.output.backlog import LOG_INTERVAL, Backlog
from orderbook.shutdown import Shutdown, logged

log = logging.getLogger(__name__)

CLOSE_TIMEOUT = 0.2  # seconds that the end of a run waits for a reader that takes nothing; thrice for others


class LineWriter:
    """Writes chunks of whole lines, in order; a reader that goes away ends the run, quietly.

    Without a backlog it waits for a slow reader, though not past the run's end. With one it never waits:
    what the descriptor does not take at once goes to the backlog, and from there to the descriptor in a
    thread of its own. `lines` counts those that were written.
    """

    def __init__(self, descriptor: int, shutdown: Shutdown, backlog: Backlog | None = None) -> None:
        self.lines = 0
        self._descriptor = descriptor
        self._shutdown = shutdown
        self._backlog = backlog
        self._begun = 0  # bytes taken of a line of which `_torn` is the rest
        self._torn = b""
        self._stopped = False
        # One worker writes at a time: of two, one may fill the pipe after the other found room in it, which
        # then waits in `os.write` for a reader that may have stopped for good.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # lines begin to wait, or wait no more
        self._poll = _poll(descriptor)
        self._thread: threading.Thread | None = None

    def write(self, chunk: bytes) -> None:
        """Write whole lines, in one write where they are at most `PIPE_BUF` bytes."""
        with self._lock:
            if self._backlog is None:
                while (chunk or self._torn) and self._wait_until_writable():
                    chunk = self._take(chunk)
                return
            if not self._waiting(self._backlog) and not self._stopped and self._poll.poll(0):
                chunk = self._take(chunk)
            if (chunk or self._torn) and not self._stopped:
                self._wait_in(self._backlog, chunk)

    def close(self) -> None:
        """Give the reader a moment to take what waits; the rest is given up, and the log says how much."""
        with self._changed:
            if (backlog := self._backlog) is None:
                return
            for _ in range(3):
                lines = self.lines
                over = self._changed.wait_for(
                    lambda: self._stopped or not self._waiting(backlog), CLOSE_TIMEOUT
                )
                if over or self.lines == lines:
                    break
            if not self._stopped:
                self._stopped = self._waiting(backlog)  # no line follows those that are given up
                backlog.give_up()

    def _waiting(self, backlog: Backlog) -> bool:
        return bool(backlog or self._torn)

    def _wait_in(self, backlog: Backlog, chunk: bytes) -> None:
        if chunk:
            backlog.append(chunk)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_backlog, args=[backlog], daemon=True)
            self._thread.start()
        self._changed.notify_all()

    @logged
    def _write_backlog(self, backlog: Backlog) -> None:
        poll = _poll(self._descriptor)  # a poll object serves one thread at a time
        while not self._stopped:
            with self._changed:
                if not self._changed.wait_for(lambda: self._waiting(backlog), LOG_INTERVAL):
                    backlog.log_drops()
                    continue
            poll.poll()
            with self._lock:
                if self._stopped:
                    return
                arrived, chunk = backlog.pop()
                if left := self._take(chunk):
                    backlog.put_back(arrived, left)
                if not self._waiting(backlog):
                    backlog.caught_up()
                    self._changed.notify_all()

    def _take(self, chunk: bytes) -> bytes:
        """Write what the descriptor takes now; the whole lines that are left."""
        data = self._torn or chunk
        try:
            written = os.write(self._descriptor, data)
        except BlockingIOError:  # full
            return chunk
        except BrokenPipeError:
            self._stop(0)
            return b""
        except OSError as error:
            self._cut_begun_line()
            log.error("stdout: %s; lines are lost from here on", error)
            self._stop(1)
            return b""
        self.lines += data.count(b"\n", 0, written)
        end = data.rfind(b"\n", 0, written) + 1  # of the last line that was taken whole
        self._begun = written - end if end else self._begun + written
        rest = data[written:]
        start = rest.find(b"\n") + 1 if self._begun else 0  # of the next whole line
        left = rest[start:] if data is chunk else chunk
        self._torn = rest[:start]
        return left

    def _cut_begun_line(self) -> None:
        # Only what is ours: where another process has appended since, the file's end is not where our
        # write ended. The offset goes back too, or the next to write there would leave a hole.
        if self._begun and stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            with suppress(OSError):
                end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
                if end == os.fstat(self._descriptor).st_size:
                    os.ftruncate(self._descriptor, end - self._begun)
                    os.lseek(self._descriptor, end - self._begun, os.SEEK_SET)

    def _wait_until_writable(self) -> bool:
        # A reader that has stopped reading must not keep a Ctrl-C from working: os.write would wait
        # for it for ever.
        while not self._stopped and not self._poll.poll(100):
            if self._shutdown.requested:
                self._stop(0)
        return not self._stopped

    def _stop(self, code: int) -> None:
        """End the run, since lines could not be delivered.

        No line of any worker follows, so none is missing between those that were delivered.
        """
        self._stopped = True
        self._torn = b""
        self._shutdown.request(code)
        self._shutdown.abandon()


def _poll(descriptor: int) -> select.poll:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return poll


def own_descriptor(descriptor: int) -> int:
    """A new descriptor of the same file; of a pipe or terminal one that is non-blocking for us alone.

    A write to a terminal waits where it has room for a part only, and one to a pipe that another process
    fills at the same moment. The flags of a descriptor that was inherited belong to others too, so the
    file is opened anew; where the system does not allow that, such a write may wait.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        with suppress(OSError):
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    return os.dup(descriptor)
