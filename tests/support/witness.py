"""Judge of what a run prints of a product: each line against what the exchange sent.

A client reads each subscription from its snapshot, up to where it leaves it, and must print nothing of
frames that can't be trusted, nor of any that follow them. So its lines must be made of runs, one a
subscription, each the beginning of what that subscription's frames give, in order of the subscriptions.
"""

import threading
import time
from itertools import count

from tests.exchange.connection import Sent
from tests.support.oracle import Oracle

Subscription = tuple[int, int]
"""A connection's number, and which of its subscriptions to the product it is."""


def subscription_of(sent: Sent) -> Subscription:
    """The subscription that a frame was sent on."""
    return sent.connection, sent.subscription


class Stretch:
    """What one subscription's frames must bring to stdout, as far as they can be trusted."""

    def __init__(self, product: str) -> None:
        self.oracle = Oracle(product)
        self.trusted = True
        self.lines: dict[int, str] = {}  # by place; those that are printed and past are dropped
        self.places = count()
        self.last_printed = 0.0

    def add(self, frame: bytes) -> None:
        """Apply a frame that was sent."""
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
        self.stretches: dict[Subscription, Stretch] = {}
        self.printed = 0
        self.wrong: list[str] = []
        # Where the reader may be: a subscription and the next place in it. More than one where equal
        # lines leave it open.
        self._at: set[tuple[Subscription, int]] = {((-1, 0), 0)}
        self._lock = threading.Lock()

    def sent(self, sent: Sent) -> None:
        """The exchange is about to send a frame."""
        with self._lock:
            self.stretches.setdefault(subscription_of(sent), Stretch(self.product)).add(sent.frame)

    def receive(self, line: str) -> None:
        """The run has printed a line."""
        with self._lock:
            self.printed += 1
            following = {
                (subscription, place + 1)
                for current, at in self._at
                for subscription, stretch in self.stretches.items()
                if subscription >= current
                and stretch.lines.get(place := at if subscription == current else 0) == line
            }
            if not following:
                self.wrong.append(line)
                return
            self._at = following
            for subscription, _place in following:
                self.stretches[subscription].last_printed = time.monotonic()
            self._forget()

    def _forget(self) -> None:
        oldest = min(subscription for subscription, _place in self._at)
        for subscription, stretch in self.stretches.items():
            if subscription < oldest:
                stretch.lines.clear()
        if len(self._at) == 1:
            [(subscription, place)] = self._at
            self.stretches[subscription].lines.pop(place - 2, None)

    def printed_from(self, connection: int) -> bool:
        """Whether a line came of this connection, by number, or of a later one."""
        with self._lock:
            return any(
                stretch.last_printed
                for (number, _), stretch in self.stretches.items()
                if number >= connection
            )

    def last_printed(self, connection: int, subscription: int | None = None) -> float:
        """`time.monotonic()` of the last line of a connection, or of one subscription of it; 0 if none."""
        with self._lock:
            return max(
                (
                    stretch.last_printed
                    for (number, which), stretch in self.stretches.items()
                    if number == connection and subscription in (None, which)
                ),
                default=0.0,
            )
