"""Files of datasets, Parquet or CSV, from the rows of all workers.

    write_batch ──▶ backlog ──flush──▶ spools ──finish──▶ files
                    memory             hidden             whole

A thread does all but the first step, so no disk holds up the dataflow.
"""

import atexit
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from orderbook.output.formats import Format, FormatName, format_of
from orderbook.output.row_backlog import RowBacklog
from orderbook.output.row_sink import RowPartition, RowSink
from orderbook.output.spooler import RETRY_DELAY, Limits, Spooler
from orderbook.shutdown import Shutdown

log = logging.getLogger(__name__)

INTERVAL = 0.25  # seconds between two turns of the thread; a live run finishes a file each
CLOSE_TIMEOUT = 10.0  # seconds for the files at the end; 400 products' take as long, four products' a moment


class FileSink(RowSink):
    """Rows into files below a folder: what has a final name is whole, and a crash loses a minute at most.

    A live run never waits: where the disk does not keep up, rows are dropped. With `waits`, for a replay,
    the disk is waited for. `rows` counts by dataset those that are on the disk, `dropped` those that won't
    be. Raises `SystemExit` where a package is missing that the format needs.
    """

    def __init__(
        self,
        folder: str,
        format: FormatName,
        shutdown: Shutdown,
        *,
        waits: bool,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = FileWriter(
            Path(folder), format_of(format), shutdown, waits=waits, limits=limits or Limits(), clock=clock
        )

    @property
    def rows(self) -> Counter[str]:
        """Rows that were written, by dataset."""
        return self._writer.spooler.rows

    @property
    def dropped(self) -> Counter[str]:
        """Rows that were dropped, by dataset."""
        return self._writer.backlog.dropped

    def build(self, step_id: str, worker_index: int, worker_count: int) -> RowPartition:
        self._writer.open()
        return RowPartition(self._writer.backlog.add, self._writer.close)


class FileWriter:
    """Writes the rows of a process, whatever the worker; its thread runs while there are workers."""

    def __init__(
        self,
        folder: Path,
        format: Format,
        shutdown: Shutdown,
        *,
        waits: bool,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self.backlog = RowBacklog(limits.memory, waits, shutdown, clock)
        self.spooler = Spooler(folder, format, self.backlog, limits, clock)
        self._shutdown = shutdown
        self._waits = waits
        self._changed = self.backlog.changed
        self._workers = 0
        self._is_running = self._is_closing = self._is_abandoned = False

    def open(self) -> None:
        """A worker begins."""
        with self._changed:
            self._workers += 1
            if not self._is_running:
                self._is_running, self._is_closing = True, False
                threading.Thread(target=self._run, name="files", daemon=True).start()
                atexit.register(self._close)

    def close(self) -> None:
        """A worker ends, with the last one all: its rows are flushed, and spools become files.

        A live run gives that `CLOSE_TIMEOUT` seconds, and so does a replay that is shut down. What is not
        finished by then is left to the next run, and what is not even flushed is lost.
        """
        with self._changed:
            self._workers -= 1
            is_last = not self._workers
        if is_last:
            self._close()

    def _close(self) -> None:
        atexit.unregister(self._close)
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            deadline = None
            while self._is_running:
                if deadline is None and self._is_hurried:
                    deadline = time.monotonic() + CLOSE_TIMEOUT
                if deadline is not None and time.monotonic() > deadline:
                    self._is_abandoned = True
                    break
                self._changed.wait(0.1)
        if unfinished := self.spooler.unfinished:
            log.warning("%d files are not finished: a run into the same folder will do that", unfinished)
        if lost := self.backlog.give_up():
            log.error("the last %d rows are not written: %s", lost, self.spooler.why or "the disk is slow")
        if self._waits and self.backlog.dropped:
            self._shutdown.request(1)
            self._shutdown.abandon()

    @property
    def _is_hurried(self) -> bool:
        """Whether the run ends, and waits for no disk."""
        return self._is_closing and (not self._waits or self._shutdown.requested)

    def _run(self) -> None:
        try:
            self.spooler.take_over()
            while not self._is_closing:
                self.spooler.turn()
                with self._changed:
                    if not self._is_closing and not (self._waits and self.spooler.is_due):
                        self._changed.wait(INTERVAL)
            while not self.spooler.wind_up(lambda: self._is_abandoned) and not self._is_hurried:
                with self._changed:
                    self._changed.wait(RETRY_DELAY)
            self.spooler.close()
        except Exception:
            log.exception("unexpected, rows are written no more, the run ends")
            self._shutdown.request(1)
            self.backlog.give_up()
        finally:
            with self._changed:
                self._is_running = False
                self._changed.notify_all()
