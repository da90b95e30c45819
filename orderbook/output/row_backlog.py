"""Backlog of rows that wait for the disk, packed, in bounded memory."""

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from orderbook.output.datasets import Dataset, Rows
from orderbook.output.gaps import Gaps
from orderbook.output.spool import Packed
from orderbook.printable import printable
from orderbook.shutdown import Shutdown

log = logging.getLogger(__name__)

DAY = 86_400_000_000  # microseconds
FRAME = 2**20  # bytes of rows that are unpacked at once, which takes tenfold

Key = tuple[str, str, int]  # dataset, symbol, day


@dataclass(slots=True)
class Buffer:
    """Rows of a dataset, product and day: full frames, and behind them `items` that are packed."""

    dataset: Dataset
    symbol: str
    first: int  # when the first of them came, in microseconds since 1970
    since: float  # the same by the clock of this process
    rows: int = 0
    size: int = 0
    frames: list[Packed] = field(default_factory=list)
    packed: bytearray = field(default_factory=bytearray)
    items: int = 0

    def close_frame(self) -> None:
        """Make a frame of what is packed."""
        if self.items:
            self.frames.append((self.packed, self.items))
            self.packed, self.items = bytearray(), 0

    def follow(self, older: "Buffer") -> None:
        """Put older rows before these."""
        self.frames[:0] = older.frames
        self.first, self.since = older.first, older.since
        self.rows += older.rows
        self.size += older.size


class RowBacklog:
    """Rows on their way from the workers to the writer's thread; from any thread.

    At `limit` bytes, or one item above, rows are dropped until half of it is free; with `waits` the worker
    waits instead, though not past the shutdown. `dropped` counts them by dataset. Logged is when that begins
    and when it is over. A row takes 9 bytes a number, and 20 for times that it may share with others.
    """

    def __init__(
        self, limit: int, waits: bool, shutdown: Shutdown, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self.changed = threading.Condition()  # rows are due, or written
        self._limit = limit
        self._waits = waits
        self._shutdown = shutdown
        self._clock = clock
        self._pack = msgspec.msgpack.Encoder().encode_into
        self._buffers: dict[Key, Buffer] = {}
        self._taken: dict[Key, Buffer] = {}  # by the thread, which writes them
        self._waiting = 0  # bytes of both
        self._gaps = Gaps()
        self._is_over = False
        self._full_since: float | None = None
        self._dropped_before: Counter[str] = Counter()
        self._has_frames = self._has_refused = False

    # For the workers:

    def add(self, batch: Iterable[Rows]) -> None:
        """Have rows written; costs 0.5 µs an item of a row, and never waits, unless `waits`."""
        with self.changed:
            for rows in batch:
                is_full = self._waiting >= self._limit or self._full_since is not None
                if (is_full and not self._has_room()) or self._gaps.hide(rows):
                    self._drop(rows)
                    continue
                arrived = rows.local_timestamp
                if arrived is None:
                    arrived = rows.timestamp or 0
                key = rows.dataset.name, rows.symbol, arrived // DAY
                buffer = self._buffers.get(key) or self._open(key, rows, arrived)
                if buffer is None:
                    self._drop(rows)
                    continue
                packed = buffer.packed
                before = len(packed)
                self._pack((rows.timestamp, rows.local_timestamp, rows.values), packed, -1)
                size = len(packed) - before
                buffer.items += 1
                buffer.rows += len(rows.values)
                buffer.size += size
                self._waiting += size
                if before + size >= FRAME:
                    buffer.close_frame()
                    self._has_frames = True
                    self.changed.notify_all()

    def _open(self, key: Key, rows: Rows, arrived: int) -> Buffer | None:
        if not rows.values:
            return None
        # A recording may name any product, and this one becomes part of a path.
        if not re.fullmatch("[A-Za-z0-9]+([._-][A-Za-z0-9]+){0,9}", rows.symbol) or len(rows.symbol) > 64:
            self._refuse(rows.symbol)
            return None
        buffer = self._buffers[key] = Buffer(rows.dataset, rows.symbol, arrived, self._clock())
        return buffer

    def _refuse(self, symbol: str) -> None:
        if not self._has_refused:
            log.error("no file can bear the name of the product '%s', the run ends", printable(symbol[:80]))
            self._has_refused = True
            self._shutdown.request(1)

    def _has_room(self) -> bool:
        if self._waits:
            self.changed.notify_all()  # the thread may rest until more is due
            while self._waiting >= self._limit and not self._is_over and not self._shutdown.requested:
                self.changed.wait(0.1)
            return self._waiting < self._limit
        if self._full_since is None:
            self._full_since = self._clock()
            log.error(
                "the disk is too slow: %d bytes of rows wait for it, what comes is dropped", self._waiting
            )
        return False

    def _drop(self, rows: Rows) -> None:
        self.dropped[rows.dataset.name] += len(rows.values)
        self._gaps.open(rows)

    # For the writer's thread:

    @property
    def is_urgent(self) -> bool:
        """Whether half of the memory is taken."""
        return self._waiting * 2 >= self._limit

    @property
    def is_due(self) -> bool:
        """Whether there is something to be written at once."""
        return self.is_urgent or self._has_frames

    def take(self, arrived_before: float) -> dict[Key, Buffer]:
        """The buffers to be written: old ones, those with a whole frame, or all if urgent."""
        with self.changed:
            self._has_frames = False
            for key, buffer in list(self._buffers.items()):
                if self.is_urgent or buffer.frames or buffer.since <= arrived_before:
                    del self._buffers[key]
                    buffer.close_frame()
                    self._taken[key] = buffer
            return dict(self._taken)

    def written(self, key: Key) -> None:
        """A buffer that was taken is written."""
        with self.changed:
            if (buffer := self._taken.pop(key, None)) is None:
                return  # it was given up
            self._waiting -= buffer.size
            if self._full_since is not None and not self.is_urgent:
                self._log_drops(f"after {self._clock() - self._full_since:.1f} s rows are taken again")
            self.changed.notify_all()

    def put_back(self) -> None:
        """What was taken and isn't written waits on, before what has come since."""
        with self.changed:
            newer = dict(self._buffers)
            self._buffers.clear()
            for key, buffer in self._taken.items():
                if follower := newer.pop(key, None):
                    follower.follow(buffer)
                    buffer = follower
                self._buffers[key] = buffer
            self._buffers.update(newer)
            self._taken.clear()

    def __len__(self) -> int:
        """How many rows wait."""
        return sum(buffer.rows for buffer in self._all())

    def give_up(self) -> int:
        """Drop all that waits, since the run is over; answers how many rows."""
        with self.changed:
            lost: Counter[str] = Counter()
            for buffer in self._all():
                lost[buffer.dataset.name] += buffer.rows
            self._buffers.clear()
            self._taken.clear()
            self.dropped += lost
            if self._full_since is not None:
                self._log_drops("the run ends")
            self._is_over = True
            self.changed.notify_all()
        return lost.total()

    def _all(self) -> list[Buffer]:
        return [*self._taken.values(), *self._buffers.values()]

    def _log_drops(self, what_follows: str) -> None:
        dropped = self.dropped - self._dropped_before
        self._dropped_before = self.dropped.copy()
        counts = ", ".join(f"{count:,} of {name}" for name, count in sorted(dropped.items()))
        log.warning(f"{what_follows}; dropped were {counts}")
        self._full_since = None
