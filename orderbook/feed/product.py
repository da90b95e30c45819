"""Product of a session: what the rules know of its subscription, and of those before it.

A product that needs a snapshot again within `RESYNC_WINDOW` is not helped by being subscribed anew, so its
connection is replaced. Where that doesn't help either, as in an auction, in which a book is rightly crossed,
the product is unsubscribed for as long, and the others keep their connection.
"""

import math

from orderbook.feed.stats import FeedStats

RESYNC_WINDOW = 60.0  # seconds


class Product:
    """A product as the rules of a session see it; times are of the monotonic clock."""

    def __init__(self, product_id: str, stats: FeedStats) -> None:
        self.product_id = product_id
        self.stats = stats
        self.asked = math.inf  # when it was subscribed; infinite while it isn't
        self.due = math.inf  # when it is to be subscribed that is left alone for now
        self.snapshot_at = -math.inf
        self.listed = False  # in an acknowledgement of this subscription
        self.exists = False  # it had a snapshot once
        self._resyncs = 0  # without `RESYNC_WINDOW` between them
        self._trusted_from = -math.inf  # when the last of them was

    @property
    def subscribed(self) -> bool:
        return self.asked < math.inf

    def follow(self, other: "Product") -> None:
        """Have the history of the same product in another session."""
        self.due, self.exists = other.due, other.exists
        self._resyncs, self._trusted_from = other._resyncs, other._trusted_from

    def succeed(self, old: "Product") -> None:
        """Go on in the place of the same product on the connection before, with its counts and history."""
        old.stats.add(self.stats)
        self.stats = old.stats
        self.exists = self.exists or old.exists
        self._resyncs = max(self._resyncs, old._resyncs)
        self._trusted_from = max(self._trusted_from, old._trusted_from)

    def connected(self, now: float) -> bool:
        """A connection was made; returns whether the product is to be subscribed on it."""
        self.stats.connects += 1
        self.asked, self.listed = math.inf, False
        if self.due > now and self.due < math.inf:
            return False
        self.due = math.inf
        return True

    def resync(self, now: float, subscribed: bool) -> int:
        """It needs a snapshot again; returns how many times in a row it did."""
        if now > self._trusted_from + RESYNC_WINDOW:
            self._resyncs = 0
        self._resyncs += 1
        self._trusted_from = now
        if subscribed and self.snapshot_at < self.asked:  # it was subscribed anew, and got no snapshot
            self._resyncs = max(2, self._resyncs)
        return self._resyncs

    def leave_alone(self, now: float) -> None:
        """Have it unsubscribed for a while, after which it is as if nothing had been."""
        self.due = self._trusted_from = now + RESYNC_WINDOW
