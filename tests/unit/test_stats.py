"""Counts of a feed: the lag of messages."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from orderbook.feed.stats import LAG_BOUNDS, FeedStats

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lag", "bound"),
    [
        (0.0, 0.001),
        (0.0014, 0.002),
        (0.006, 0.01),
        (0.25, 0.5),
        (0.5, 0.5),
        (0.501, 1.0),
        (2.0, 2.0),
        (2.1, 5.0),
        (100.0, None),  # above all bounds
        (3_599.0, None),
        (-9.0, 0.001),  # our clock is behind the exchange's
    ],
)
def test_lag(lag: float, bound: float | None) -> None:
    """A lag is counted at the least bound that it does not exceed; one below 0 as 0."""
    stats = FeedStats()
    sent = NOW - timedelta(seconds=lag)
    stats.observe_lag(sent.isoformat().replace("+00:00", "Z"), NOW.timestamp())
    assert sum(stats.lags) == stats.lags[LAG_BOUNDS.index(bound) if bound else -1] == 1
    assert stats.lag_sum == pytest.approx(max(0.0, lag), abs=1e-6)


@pytest.mark.parametrize(
    "sent",
    [
        *("0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z", "2026-11-24T10:59:59.999999Z"),
        *("2026-11-24T13:00:00.000001Z", None, "yesterday", "", "2026-11-24T12:00:00.\ud800"),
    ],
)
def test_no_lag(sent: str | None) -> None:
    """A time that is an hour or more away, none at all, or not a time, is not counted."""
    stats = FeedStats()
    stats.observe_lag(sent, NOW.timestamp())
    assert (sum(stats.lags), stats.lag_sum) == (0, 0.0)


def test_counting_costs_little() -> None:
    """A message's lag costs about a microsecond; this only bars a hundred."""
    stats, sent = FeedStats(), NOW.isoformat()
    began = time.thread_time()
    for _ in range(1000):
        stats.observe_lag(sent, NOW.timestamp())
    assert time.thread_time() - began < 0.1
