"""Totals of a process's feeds and views, as the page shows them."""

from bisect import bisect_left
from collections import deque
from itertools import accumulate
from typing import Any

from orderbook.feed.errors import Refresh
from orderbook.feed.stats import LAG_BOUNDS
from orderbook.page.views import LIVE, Views

MINUTE = 60  # seconds, as many as there are counts of lags to compare with


class Totals:
    """The status of a run; `count` is to be called once a second."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._lags: deque[list[int]] = deque(maxlen=MINUTE + 1)

    def count(self) -> dict[str, Any]:
        """What it is now, with the lags of the last minute; 1 ms for 400 products."""
        feeds = None if self._views.feeds is None else list(self._views.feeds.values())
        views = self._views.all()
        status: dict[str, Any] = {"kind": "replay" if feeds is None else "live", "ended": self._views.ended}
        status |= {"live": sum(view.state is LIVE for view in views), "products": len(views)}
        feeds = feeds or []
        status["connects"] = sum(feed.connects for feed in feeds)
        status["resyncs"] = sum(
            sum(feed.resyncs.values()) - feed.resyncs[Refresh.reason] for feed in feeds if feed.resyncs
        )
        status["gaps"] = sum(view.gaps for view in views)
        status["missing_trades"] = sum(feed.missing_trades for feed in feeds)
        lags = [sum(counts) for counts in zip(*(list(feed.lags) for feed in feeds), strict=True)]
        self._lags.append(lags)
        before = self._lags[0] if len(self._lags[0]) == len(lags) and len(self._lags) > 1 else [0] * len(lags)
        recent = [now - then for now, then in zip(lags, before, strict=True)]
        return status | {"lag_p50": quantile(recent, 0.5), "lag_p99": quantile(recent, 0.99)}


def quantile(counts: list[int], share: float) -> float | None:
    """The lag, in seconds, that this share of all stays below, by counts within `LAG_BOUNDS`.

    As evenly as lags may lie between two bounds. None where there are none; those above all bounds count as
    at the last.
    """
    below = list(accumulate(counts))
    if not below or not below[-1]:
        return None
    wanted = share * below[-1]
    place = bisect_left(below, wanted)
    if place == len(LAG_BOUNDS):
        return LAG_BOUNDS[-1]
    least = LAG_BOUNDS[place - 1] if place else 0.0
    inside = (wanted - (below[place - 1] if place else 0)) / counts[place]
    return round(least + (LAG_BOUNDS[place] - least) * inside, 6)
