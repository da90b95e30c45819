"""Whether what a run prints of a product can be trusted: each line against what the exchange sent.

A client reads each connection from its start, up to where it leaves it, and must say nothing of frames
that can't be trusted, nor of any that follow them. So its lines must be made of runs, one a
connection, each the beginning of what that connection's frames give, in order of the connections.
"""

import threading
import time
from itertools import count

from tests.exchange.connection import Sent
from tests.support.oracle import Oracle


class Stretch:
    """What one connection's frames must bring to stdout, as far as they can be trusted."""

    def __init__(self, product: str) -> None:
        self.oracle = Oracle(product)
        self.trusted = True
        self.lines: dict[int, str] = {}  # by place; those that are printed and past are forgotten
        self.places = count()
        self.last_printed = 0.0

    def add(self, frame: bytes) -> None:
        """Take in a frame that was sent."""
        if not self.trusted:
            return
        try:
            line = self.oracle.apply(frame)
        except ValueError:
            self.trusted = False
            return
        if line is not None:
            self.lines[next(self.places)] = line


class Witness:
    """Judges one product's lines as they come; from any thread."""

    def __init__(self, product: str) -> None:
        self.product = product
        self.stretches: dict[int, Stretch] = {}  # by connection
        self.printed = 0
        self.wrong: list[str] = []
        # Where the reader may be: (connection, next place). More than one where equal lines leave
        # it open.
        self._at: set[tuple[int, int]] = {(-1, 0)}
        self._lock = threading.Lock()

    def sent(self, sent: Sent) -> None:
        """The exchange is about to send a frame."""
        with self._lock:
            if sent.connection not in self.stretches:
                self.stretches[sent.connection] = Stretch(self.product)
            self.stretches[sent.connection].add(sent.frame)

    def heard(self, line: str) -> None:
        """The run has printed a line."""
        with self._lock:
            self.printed += 1
            following = {
                (number, place + 1)
                for connection, at in self._at
                for number, stretch in self.stretches.items()
                if number >= connection
                and stretch.lines.get(place := at if number == connection else 0) == line
            }
            if not following:
                self.wrong.append(line)
                return
            self._at = following
            for connection, _place in following:
                self.stretches[connection].last_printed = time.monotonic()
            self._forget()

    def _forget(self) -> None:
        oldest = min(connection for connection, _place in self._at)
        for number, stretch in self.stretches.items():
            if number < oldest:
                stretch.lines.clear()
        if len(self._at) == 1:
            [(connection, place)] = self._at
            self.stretches[connection].lines.pop(place - 2, None)

    def last_printed(self, connection: int) -> float:
        """`time.monotonic()` of the last line that came of a connection, 0 if none did."""
        with self._lock:
            return self.stretches[connection].last_printed if connection in self.stretches else 0.0
