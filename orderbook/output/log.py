"""Log of the process, written to stderr by a thread of its own: a reader that stops holds up nothing else."""

import logging
import os
import queue
import select
import sys
from logging.handlers import QueueHandler, QueueListener

log = logging.getLogger(__name__)

FORMAT = "%(asctime)s %(levelname)s %(message)s"
CAPACITY = 5_000  # records that wait for the reader of stderr
_CLEAR = "\r\x1b[K"  # the terminal's line
FLUSH_TIMEOUT = 0.2  # seconds that an exit waits for a reader that takes nothing; thrice for others


def start() -> "LogHandler | None":
    """Log all from INFO on to stderr, by this handler; where stderr is closed, nowhere."""
    logging.root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    handler = None if sys.stderr is None else LogHandler(sys.stderr.fileno())
    logging.root.addHandler(handler or logging.NullHandler())
    return handler


class Progress(logging.LogRecord):
    """A text that stands below the log on a terminal, until the next one takes its place."""

    def __init__(self, text: str) -> None:
        super().__init__(log.name, logging.INFO, __file__, 0, text, None, None)


class LogHandler(QueueHandler):
    """Queues records for a thread that writes them to a file descriptor; from any thread, and never waits.

    Where the queue is full, records are dropped and counted, and one line says how many once it is empty.
    """

    queue: "queue.Queue[logging.LogRecord]"
    listener: "LogListener"

    def __init__(self, descriptor: int, capacity: int = CAPACITY) -> None:
        super().__init__(queue.Queue(capacity))
        self.setFormatter(logging.Formatter(FORMAT))
        self.dropped = 0
        self.shows = False  # whether a text stands below the log
        self.listener = LogListener(self, descriptor)
        self.listener.start()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a record, or count that it was dropped."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def show(self, text: str) -> None:
        """Have a text stand below the log, in the place of the last one."""
        self.enqueue(Progress(text))
        self.shows = bool(text)

    def flush(self) -> None:
        """Wait until all is written, though not for a reader that takes nothing: an exit must not hang."""
        if self.shows:
            self.show("")
        with self.queue.all_tasks_done:
            for _ in range(3):
                left = self.queue.unfinished_tasks
                if not left or self.queue.all_tasks_done.wait(FLUSH_TIMEOUT):
                    return
                if self.queue.unfinished_tasks == left:
                    return


class LogListener(QueueListener):
    """Writes what a handler queues, each record at once and whole.

    It writes to the descriptor and not to `sys.stderr`: the interpreter flushes that at its exit, and would
    wait for the lock of a thread that waits for its reader.
    """

    def __init__(self, handler: LogHandler, descriptor: int) -> None:
        super().__init__(handler.queue)
        self._handler = handler
        self._descriptor = descriptor
        self._logged = 0  # of the dropped records
        self._shown = ""  # below the log

    def handle(self, record: logging.LogRecord) -> None:
        """Write a record; the handler has formatted it."""
        if isinstance(record, Progress):
            self._write(f"{_CLEAR}{record.msg}")
            self._shown = record.msg
            return
        self._write(f"{_CLEAR}{record.msg}\n{self._shown}" if self._shown else f"{record.msg}\n")
        if (dropped := self._handler.dropped) > self._logged and self._handler.queue.empty():
            text = "%d lines of the log were dropped, since stderr was not read"
            arguments = (dropped - self._logged,)
            late = log.makeRecord(log.name, logging.WARNING, __file__, 0, text, arguments, None)
            # Not through the queue: an exit may hold its handler.
            self._write(f"{self._handler.format(late)}\n")
            self._logged = dropped

    def _write(self, text: str) -> None:
        data = text.encode(errors="backslashreplace")
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # a stderr that was inherited non-blocking, and is full
                select.select([], [self._descriptor], [])
            except OSError:  # its reader is gone, or its disk is full: there is no place to log that
                return
