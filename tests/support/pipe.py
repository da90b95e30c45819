"""A pipe in the place of stdout or stderr, whose reader reads, stands still or goes away as a test wants."""

import os
import select
import threading
from contextlib import suppress

from tests.support.waiting import DEADLINE, wait_until


class Pipe:
    """A pipe that is read by a thread of its own from `read_all` on, and until then by nobody.

    `packets` has what each read gave; `writers` are threads that write to the pipe, which `close` joins.
    """

    def __init__(self, flags: int = 0) -> None:
        self.reader, self.writer = os.pipe2(flags)
        self.packets: list[bytes] = []
        self.writers: list[threading.Thread] = []
        self.reading: threading.Thread | None = None

    def read_all(self) -> None:
        """Start to read, until the writing end is closed."""
        self.reading = threading.Thread(target=self._read, daemon=True)
        self.reading.start()

    def _read(self) -> None:
        while packet := os.read(self.reader, 65_536):
            self.packets.append(packet)

    def wait_until_full(self) -> None:
        """Wait until the pipe has no room for another `PIPE_BUF` bytes."""
        poll = select.poll()
        poll.register(self.writer, select.POLLOUT)
        wait_until(lambda: not poll.poll(0))

    def fill(self) -> None:
        """Write dots until the pipe has no room, as one that has not been read for a while."""
        os.set_blocking(self.writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"." * select.PIPE_BUF)
        os.set_blocking(self.writer, True)

    def close_reader(self) -> None:
        """Go away, as a reader does that has seen enough."""
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close(self) -> bytes:
        """Close both ends once nobody writes any more; answers all that the reading thread got."""
        if not self.reading:
            self.close_reader()  # ends a write that waits for room
        for thread in self.writers:
            thread.join(DEADLINE)
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1
        if self.reading:
            self.reading.join(DEADLINE)
            self.close_reader()
        return b"".join(self.packets)
