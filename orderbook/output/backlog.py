"""Backlog of lines that wait for the reader of stdout; those that wait too long are dropped."""

import logging
import math
import select
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

LOG_INTERVAL = 30.0  # seconds at least between two ends of a drop that are logged


class Backlog:
    """Chunks of whole lines with their times of arrival, the oldest first. Not thread-safe.

    Lines older than `stale_after` seconds are dropped, which bounds its memory, and counted in `dropped`.
    Drops are logged when they begin and when the reader has caught up. Where a reader keeps pausing, they
    are counted on for `LOG_INTERVAL` seconds, and the next line of the log has them all.
    """

    def __init__(self, stale_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.dropped = 0
        self._stale_after = stale_after
        self._clock = clock
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._since = 0.0  # when the first line came to wait, of those that the next line of the log is about
        self._until = 0.0  # when the reader had caught up
        self._unlogged = 0
        self._quiet_until = -math.inf

    def __bool__(self) -> bool:
        """Whether lines wait."""
        return bool(self._chunks)

    def append(self, chunk: bytes) -> None:
        """Lines have arrived that must wait."""
        now = self._clock()
        if not self._chunks and not self._unlogged:
            self._since = now
        self._chunks.append((now, chunk))
        self._drop_stale()

    def pop(self) -> tuple[float, bytes]:
        """The oldest lines that are not stale, as many as go into one write, and when the first arrived."""
        self._drop_stale()
        if not self._chunks:
            return self._clock(), b""
        arrived, chunk = self._chunks.popleft()
        while self._chunks and len(chunk) + len(self._chunks[0][1]) <= select.PIPE_BUF:
            chunk += self._chunks.popleft()[1]
        return arrived, chunk

    def put_back(self, arrived: float, chunk: bytes) -> None:
        """What is left of the lines that `pop` gave goes to the front again."""
        self._chunks.appendleft((arrived, chunk))

    def caught_up(self) -> None:
        """The reader has taken all that waited; the next lines are of the present."""
        self._until = self._clock()
        self.log_drops()

    def log_drops(self) -> None:
        """Log what was dropped, unless that was done a moment ago, or more may follow."""
        now = self._clock()
        if self._unlogged and not self._chunks and now >= self._quiet_until:
            self._log_drops("lines are of the present again")
            self._quiet_until = now + LOG_INTERVAL

    def give_up(self) -> None:
        """Drop all that waits, since the run is over."""
        left = sum(chunk.count(b"\n") for _, chunk in self._chunks)
        self._chunks.clear()
        self.dropped += left
        if self._unlogged:
            self._until = self._clock()
            self._log_drops("the run ends")
        if left:
            log.warning(f"stdout is not read: {left:,} lines that wait for it are given up, the run ends")

    def _drop_stale(self) -> None:
        oldest = self._clock() - self._stale_after
        while self._chunks and self._chunks[0][0] < oldest:
            lines = self._chunks.popleft()[1].count(b"\n")
            if not self._unlogged and self._clock() >= self._quiet_until:
                log.warning(
                    "stdout is not read: lines that have waited for %g s are dropped", self._stale_after
                )
            self._unlogged += lines
            self.dropped += lines

    def _log_drops(self, what_follows: str) -> None:
        seconds = self._until - self._since
        log.warning(
            f"stdout was not read for {seconds:.1f} s: {self._unlogged:,} lines were dropped that had waited "
            f"for {self._stale_after:g} s; {what_follows}"
        )
        self._unlogged = 0
