"""Judge of what a run prints of a product: each line against what the exchange sent.

A client reads each subscription from its snapshot, up to where it leaves it, and must print nothing of
frames that can't be trusted, nor of any that follow them. So its lines must be made of runs, one a
subscription, each the beginning of what that subscription's frames give, in order of the subscriptions.
A connection that is renewed overlaps with the one before, and its lines begin where that one's end: those of
times that it has had are not printed again, and none between is lost.
"""

import re
import threading
import time
from datetime import datetime, timedelta
from itertools import count
from typing import NamedTuple

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
        self.times: dict[int, str] = {}  # the exchange's, of these lines
        self.places = count()
        self.last_time = ""  # of any message that may change the book
        self.began = self.last_sent = 0.0
        self.last_printed = 0.0

    def add(self, frame: bytes, when: float = 0.0) -> None:
        """Apply a frame that was sent."""
        if not self.trusted:
            return
        self.began, self.last_sent = self.began or when, when
        try:
            line = self.oracle.apply(frame)
        except ValueError:
            self.trusted = False
            return
        if b'"l2update"' in frame[:40] or b'"snapshot"' in frame[:40]:
            self.last_time = time_of(frame)
        if line is not None:
            place = next(self.places)
            self.lines[place], self.times[place] = line, time_of(frame)

    def begins(self, line: str, known_until: str) -> list[int]:
        """The places at which a reader that knows all up to a time may begin, with this line."""
        places = []
        for place in count():
            if self.lines.get(place) == line:
                places.append(place)
            if (self.times.get(place) or "~") > known_until:
                return places
        raise AssertionError

    def forget(self, place: int) -> None:
        """Drop a line that is past."""
        self.lines.pop(place, None)
        self.times.pop(place, None)


def time_of(frame: bytes) -> str:
    """The time that the exchange gives a frame."""
    found = re.search(rb'"time":"([^"]*)"', frame[-60:])
    return found[1].decode() if found else ""


class Lost(NamedTuple):
    """A line that a renewal lost: `time.monotonic()` when that was seen, and the connection that had it."""

    when: float
    connection: int
    line: str


class Witness:
    """Judges one product's lines as they come; from any thread."""

    def __init__(self, product: str) -> None:
        self.product = product
        self.stretches: dict[Subscription, Stretch] = {}
        self.printed = 0
        self.wrong: list[str] = []
        self.lost: list[Lost] = []  # at renewals
        # Where the reader may be: a subscription and the next place in it. More than one where equal
        # lines leave it open.
        self._at: set[tuple[Subscription, int]] = {((-1, 0), 0)}
        self._lock = threading.Lock()

    def sent(self, sent: Sent) -> None:
        """The exchange is about to send a frame."""
        with self._lock:
            stretch = self.stretches.setdefault(subscription_of(sent), Stretch(self.product))
            stretch.add(sent.frame, sent.when)

    def receive(self, line: str) -> None:
        """The run has printed a line."""
        with self._lock:
            self.printed += 1
            following: dict[tuple[Subscription, int], Lost | None] = {}  # and what was lost before, if any
            for current, at in self._at:
                last = self.stretches.get(current, Stretch(self.product))
                if last.lines.get(at) == line:
                    following[current, at + 1] = None
                for subscription, stretch in self.stretches.items():
                    if subscription > current:
                        for place in stretch.begins(line, last.last_time):
                            if is_repeated(last, at, stretch, place):
                                continue
                            line_lost = lost_between(last, at, stretch, place)
                            lost = Lost(time.monotonic(), current[0], line_lost) if line_lost else None
                            following.setdefault((subscription, place + 1), lost)
            if not following:
                self.wrong.append(line)
                return
            if all(following.values()):
                self.lost += list(filter(None, following.values()))[:1]
                self._at = set(following)
            else:
                self._at = {at for at, lost in following.items() if not lost}
            for subscription, _place in self._at:
                self.stretches[subscription].last_printed = time.monotonic()
            self._forget()

    def _forget(self) -> None:
        oldest = min(subscription for subscription, _place in self._at)
        for subscription, stretch in self.stretches.items():
            if subscription < oldest:
                stretch.lines.clear()
                stretch.times.clear()
        if len(self._at) == 1:
            [(subscription, place)] = self._at
            self.stretches[subscription].forget(place - 2)

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


def is_renewal(last: Stretch, following: Stretch) -> bool:
    """Whether a connection was made while the one before it went on."""
    return following.began <= last.last_sent


def is_repeated(last: Stretch, at: int, following: Stretch, place: int) -> bool:
    """Whether a renewed connection begins with a line that is no newer than the last one printed.

    A time that is a minute off is a clock gone wrong, and says nothing.
    """
    printed, begun = last.times.get(at - 1), following.times[place]
    if not printed or not begun or not is_renewal(last, following):
        return False
    older = datetime.fromisoformat(printed) - datetime.fromisoformat(begun)
    return timedelta(0) <= older < timedelta(minutes=1)


def lost_between(last: Stretch, at: int, following: Stretch, place: int) -> str | None:
    """The line that a renewal lost: the old connection had it, and its time is before the new one's first."""
    missed, begun = last.times.get(at), following.times[place]
    return last.lines[at] if is_renewal(last, following) and missed and missed < begun else None
