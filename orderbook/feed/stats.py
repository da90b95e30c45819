"""Counts of one product's feed."""

import time
from bisect import bisect_left
from collections import Counter

from orderbook.coinbase.messages import ABSURD, seconds

LAG_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds


class FeedStats:
    """What a feed counts of a product, in plain attributes, which costs next to nothing; others read them.

    `last_frame` is in seconds of the monotonic clock, at first the time at which this was made.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0  # of these frames, after inflating
        self.snapshots = 0
        self.updates = 0
        self.missing_trades = 0
        self.connects = 0  # of connections that carry the product
        self.resyncs: Counter[str] = Counter()  # by the reason of a `FeedError`
        self.live = False
        self.last_frame = time.monotonic()
        self.lags = [0] * (len(LAG_BOUNDS) + 1)  # messages by bound, the last above all bounds
        self.lag_sum = 0.0

    def add(self, other: "FeedStats") -> None:
        """Add what another connection of the product has received, and go on with its state."""
        self.frames += other.frames
        self.bytes += other.bytes
        self.snapshots += other.snapshots
        self.connects += other.connects
        self.resyncs += other.resyncs
        self.live, self.last_frame = other.live, other.last_frame

    def observe_lag(self, sent: str | None, now: float) -> None:
        """Count how long before `now`, in seconds since 1970, the exchange says that it sent a message."""
        sent_at = seconds(sent)
        if sent_at is not None and abs(lag := now - sent_at) < ABSURD:
            lag = max(0.0, lag)  # our clock is a little behind the exchange's
            self.lags[bisect_left(LAG_BOUNDS, lag)] += 1
            self.lag_sum += lag
