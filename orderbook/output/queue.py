"""Queue of rows between the workers of a process and a thread that writes them somewhere."""

import threading
from collections import Counter, deque
from collections.abc import Iterable

from orderbook.output.datasets import Rows
from orderbook.output.gaps import Gaps
from orderbook.shutdown import Shutdown

OWN_VALUES = 6  # as many values as a row takes the memory of, beside its own


class RowQueue:
    """Rows that wait, the oldest first; from any thread.

    At most `limit` values wait, those that a row counts for itself included: 32 bytes each, measured. Where
    there is no room, the oldest rows are dropped, or with `waits` room is waited for, though not past a
    requested shutdown. `rows` counts by dataset what was put, `dropped` what was dropped.
    """

    def __init__(self, limit: int, shutdown: Shutdown, *, waits: bool) -> None:
        self.rows: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._limit = limit
        self._shutdown = shutdown
        self._waits = waits
        self._condition = threading.Condition()
        self._queue: deque[Rows] = deque()
        self._size = 0
        self._gaps = Gaps()

    def __bool__(self) -> bool:
        """Whether rows wait."""
        return bool(self._queue)

    def put(self, batch: Iterable[Rows]) -> None:
        """Append rows, in order; those of one message are kept even where they alone are beyond the limit."""
        with self._condition:
            for rows in batch:
                size = _size(rows)
                while self._waits and not self._has_room(size) and not self._shutdown.requested:
                    self._condition.wait(0.1)
                while not self._has_room(size):
                    self._drop(self._pop())
                self._queue.append(rows)
                self._size += size
                self.rows[rows.dataset.name] += len(rows.values)

    def take(self) -> Rows | None:
        """The oldest rows, or None where none wait."""
        with self._condition:
            rows = None
            while self._queue and rows is None:
                rows = self._pop()
                if self._gaps.hide(rows):
                    self._drop(rows)
                    rows = None
            if self._size <= self._limit // 2:  # at each it would wake who waits for room
                self._condition.notify_all()
            return rows

    def _drop(self, rows: Rows) -> None:
        self.dropped[rows.dataset.name] += len(rows.values)
        self._gaps.open(rows)

    def _has_room(self, size: int) -> bool:
        return self._size + size <= self._limit or not self._queue

    def _pop(self) -> Rows:
        rows = self._queue.popleft()
        self._size -= _size(rows)
        return rows


def _size(rows: Rows) -> int:
    return len(rows.values) * (len(rows.dataset.columns) + OWN_VALUES)
