"""Spooler of a process: brings rows from the backlog into spools, and makes files of these."""

import logging
import math
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orderbook.output.formats import Format
from orderbook.output.row_backlog import Buffer, Key, RowBacklog
from orderbook.output.spool import Spool, SpoolFolder
from orderbook.printable import printable

log = logging.getLogger(__name__)

RETRY_DELAY = 3.0  # seconds between two attempts at a disk that takes nothing
END = 253_402_300_800  # seconds from 1970 to the year 10000


@dataclass(frozen=True)
class Limits:
    """When rows are flushed and files are finished: sizes in bytes, times in seconds."""

    memory: int = 2**26  # of rows that wait: a minute of 400 products at 20 updates a second
    flush_interval: float = 30.0  # half of what may be missing after a crash: a disk takes its time too
    age: float = 3600.0
    size: int = 2**26  # of a spool; as Parquet it takes a third


class Spooler:
    """Writes what the backlog has into the folder. Not thread-safe: it has a thread of its own.

    A disk that takes nothing is logged once, with the reason, and tried again; so is that it goes on.
    """

    def __init__(
        self,
        folder: Path,
        format: Format,
        backlog: RowBacklog,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rows: Counter[str] = Counter()
        self.why = ""  # nothing can be written at the moment
        self._folder = folder
        self._format = format
        self._backlog = backlog
        self._limits = limits
        self._clock = clock
        self._own: SpoolFolder | None = None
        self._left_behind: list[SpoolFolder] = []
        self._spools: dict[Key, tuple[Spool, float]] = {}  # that take rows, and when the first came
        self._latest: dict[tuple[str, str], int] = {}  # the day of a dataset and symbol
        self._finishing: deque[Spool] = deque()
        self._failing: set[Key | Spool] = set()
        self._failed_at = 0.0
        self._dropped_before = 0
        self._retry_at = -math.inf

    @property
    def unfinished(self) -> int:
        """How many spools are not files yet."""
        return len(self._spools) + len(self._finishing)

    def take_over(self) -> None:
        """Have the spools finished that processes have left behind."""
        for folder in SpoolFolder.left_behind(self._folder, self._format.name):
            self._left_behind.append(folder)
            try:
                self._finishing += folder.spools()
            except OSError as error:
                log.warning("%s can't be read: %s", printable(folder.path), _reason(error))
        if self._finishing:
            log.info("%d files are finished that an earlier run has left behind", len(self._finishing))

    def turn(self) -> None:
        """Flush what is due, and finish a file if one is due."""
        now = self._clock()
        if now < self._retry_at:
            return
        self._flush(now - self._limits.flush_interval)
        for key, (_, since) in list(self._spools.items()):
            if since <= now - self._limits.age or key[2] != self._latest[key[:2]]:
                self._rotate(key)
        self._finish_next()

    @property
    def is_due(self) -> bool:
        """Whether another turn is due at once."""
        return self._clock() >= self._retry_at and (self._backlog.is_due or bool(self._finishing))

    def wind_up(self, is_abandoned: Callable[[], bool]) -> bool:
        """Flush all, and finish all unless abandoned meanwhile; answers whether nothing is left."""
        self._flush(math.inf)
        for key in list(self._spools):
            self._rotate(key)
        for _ in range(len(self._finishing)):
            if not is_abandoned():
                self._finish_next()
        return not self._finishing and not len(self._backlog)

    def close(self) -> None:
        """Give the folders back: what is left in them is for the next run."""
        for folder in filter(None, (self._own, *self._left_behind)):
            folder.close()
        self._own = None
        self._left_behind.clear()

    def _flush(self, arrived_before: float) -> None:
        taken = self._backlog.take(arrived_before)
        for key, buffer in taken.items():
            try:
                self._append(key, buffer)
            except OSError as error:
                self._failed(key, error)
            else:
                self.rows[key[0]] += buffer.rows
                self._backlog.written(key)
                self._succeeded(key)
        self._backlog.put_back()

    def _append(self, key: Key, buffer: Buffer) -> None:
        own = self._own_folder()
        if key not in self._spools:
            pair, day = key[:2], key[2]
            self._latest[pair] = day
            date, time = _utc(buffer.first)
            spool = own.begin(buffer.dataset.name, buffer.symbol, date, time, buffer.dataset.columns)
            self._spools[key] = spool, buffer.since
        spool = self._spools[key][0]
        try:
            spool.append(buffer.frames)
        except FileNotFoundError:
            del self._spools[key]  # somebody has removed it: the next attempt begins anew
            raise
        if spool.size >= self._limits.size:
            self._rotate(key)

    def _own_folder(self) -> SpoolFolder:
        if self._own and not self._own.is_there:
            self._own.close()
            self._own = None
            lost = self.unfinished
            self._spools.clear()
            log.error("%s: somebody has removed it, with %d unfinished files", printable(self._folder), lost)
        if self._own is None:
            self._own = SpoolFolder.create(self._folder, self._format.name)
        return self._own

    def _rotate(self, key: Key) -> None:
        self._finishing.append(self._spools.pop(key)[0])

    def _finish_next(self) -> None:
        if not self._finishing:
            return
        spool = self._finishing.popleft()
        try:
            self._format.finish(spool, self._folder)
            spool.path.unlink()
        except OSError as error:
            if spool.path.exists():
                self._finishing.append(spool)
                self._failed(spool, error)
                return
            log.error("%s: somebody has removed it before it was finished", printable(spool.path))
        self._succeeded(spool)

    def _failed(self, what: Key | Spool, error: OSError) -> None:
        now = self._clock()
        self._retry_at = now + RETRY_DELAY
        if not self._failing:
            self._failed_at = now
            self._dropped_before = self._backlog.dropped.total()
        self._failing.add(what)
        if (why := _reason(error)) != self.why:
            self.why = why
            log.error("%s: rows can't be written, and wait: %s", printable(self._folder), printable(why))

    def _succeeded(self, what: Key | Spool) -> None:
        self._failing.discard(what)
        if self.why and not self._failing:
            self.why = ""
            seconds, dropped = self._clock() - self._failed_at, self._backlog.dropped.total()
            dropped -= self._dropped_before
            name = printable(self._folder)
            log.info(f"{name}: rows are written again after {seconds:.1f} s, {dropped:,} were dropped")


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _utc(microseconds: int) -> tuple[str, str]:
    """Date and time of day for file names; those of 1970 where the calendar has no such day."""
    seconds = microseconds // 1_000_000
    moment = datetime.fromtimestamp(seconds if 0 <= seconds < END else 0, UTC)
    return f"{moment:%Y-%m-%d}", f"{moment:%H%M%S}"
