"""Silence of a connection and its products: what has come when, and when something must have come."""

import math
from dataclasses import dataclass

from orderbook.feed.product import Product

FRAME_TIMEOUT = 60.0  # seconds that a frame may take, as long as bytes of it come


@dataclass(frozen=True)
class Timeouts:
    """Seconds after which a connection or a product is no longer trusted."""

    stale_after: float = 5.0  # without a frame
    refresh: float = 3600.0  # between two renewals of the connection
    snapshot_timeout: float = 10.0  # without a snapshot, since it was asked for


class Silence:
    """What has come on a connection, and when it or a product counts as silent.

    Times are of the monotonic clock. `last_partial` is when bytes came last that completed no frame: on a
    slow link a snapshot takes longer than a live feed may be silent.
    """

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        self._timeouts = timeouts
        self._last_frame = self._last_snapshot = now
        self._speaks_since = now  # without a silence of all products
        self.last_partial = -math.inf

    def start(self, now: float) -> None:
        """The first request is sent: nothing could have come before."""
        self._last_frame = self._speaks_since = now

    def frame(self, now: float) -> None:
        """A frame has come."""
        if now > self._last_frame + self._timeouts.stale_after / 2:
            self._speaks_since = now
        self._last_frame = now

    def snapshot(self, now: float) -> None:
        """The frame was a snapshot."""
        self._last_snapshot = now

    @property
    def due(self) -> float:
        """When the connection counts as silent, if nothing comes."""
        partial = min(self.last_partial, self._last_frame + FRAME_TIMEOUT)
        return max(self._last_frame, partial) + self._timeouts.stale_after

    def due_of(self, product: Product) -> float:
        """When something is to be done about a product, if nothing comes of it."""
        if not product.subscribed:
            return product.due
        return self.product_due(product) if product.stats.live else self.snapshot_due(product)

    def snapshot_due(self, product: Product) -> float:
        """When a product's snapshot must have come: one after the other on a slow link, each in its time."""
        since = max(product.asked, self._last_snapshot)
        if self.last_partial > self._last_frame:
            since = max(since, min(self.last_partial, since + FRAME_TIMEOUT))
        return since + self._timeouts.snapshot_timeout

    def product_due(self, product: Product) -> float:
        """When a product counts as silent; infinite while the whole connection may be.

        A heartbeat comes once a second a product: the frames of a connection that falls silent end closer
        together than half of `stale_after`, and those of one that speaks again begin as close.
        """
        last, stale_after = max(product.stats.last_frame, self._speaks_since), self._timeouts.stale_after
        return last + stale_after if self._last_frame >= last + stale_after / 2 else math.inf
