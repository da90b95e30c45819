"""Backlog of the recorders of a process: the bytes that wait for the disk."""

import logging
import threading

log = logging.getLogger(__name__)

# Half a minute of 400 products at 20 updates a second, hours of four: a disk that is slow for longer won't
# keep up, and memory is better spent on books.
LIMIT = 2**26  # bytes


class Backlog:
    """How many bytes of frames wait, whatever the thread, and whether more may."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._size = 0
        self._full = False

    @property
    def has_room(self) -> bool:
        """Whether recordings that were interrupted by a full backlog may begin anew."""
        return self._size <= self._limit // 2

    def reserve(self, size: int) -> bool:
        """Take room for a frame, if there is some; logs that there is none, once until half of it is free."""
        with self._lock:
            if self._size + size <= self._limit:
                self._size += size
                return True
            was_full, self._full = self._full, True
        if not was_full:
            log.error("the disk is too slow: %d bytes wait for it, what comes is not recorded", self._size)
        return False

    def release(self, size: int) -> None:
        """Give the room of frames back that are written or given up."""
        with self._lock:
            self._size -= size
            self._full = self._full and not self.has_room
