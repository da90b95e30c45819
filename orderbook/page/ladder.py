"""Numbers of a book as the page shows them: a ladder, grouped or not, its depth, what an order costs.

Levels are (price, size), best first. Prices are multiples of decimal ticks, so all that is shown of them is
right in decimals, not merely near.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Literal

from orderbook import signals
from orderbook.book import OrderBookState
from orderbook.signals import BPS, NOISE, Levels

Side = Literal["bids", "asks"]

# Basis points from the mid at which the depth is shown: close where most of it is.
DISTANCES = (*(n / 2 for n in range(1, 21)), *range(11, 31), *range(35, 101, 5))


def ladder(book: OrderBookState, levels: int, step: float) -> tuple[Levels, Levels]:
    """The best rows of each side: levels, or, with a step above 0, groups of them."""
    best = book.depth(levels)
    if not step or not all(best):
        return best
    (bid, _), (ask, _) = best[0][0], best[1][0]
    mid = (bid + ask) / 2
    farthest = max(abs(side[-1][0] - mid) for side in best)
    reach, every = max(farthest, (levels + 1) * step + ask - mid) / mid, book.levels()
    for wider in (reach, 8 * reach, math.inf):
        sides = book.within(wider)
        bids = grouped(sides[0], step, "bids", levels + 1)
        asks = grouped(sides[1], step, "asks", levels + 1)
        # The last group of a side may have levels beyond reach, so it counts only where there are none.
        if all(
            len(groups) > levels or len(side) == count
            for groups, side, count in zip((bids, asks), sides, every, strict=True)
        ):
            break
    return bids[:levels], asks[:levels]


def grouped(levels: Levels, step: float, side: Side, most: int) -> list[tuple[float, float]]:
    """The sizes of levels, added up by multiples of a step: the next below for bids, above for asks.

    Exact in decimals: 0.3 is in the group of 3 × 0.1, though the floats' quotient is below 3. Takes 4 µs a
    group, of which there are up to `most`.
    """
    groups: list[tuple[float, float]] = []
    unit, at = Fraction(repr(step)), 0
    while at < len(levels) and len(groups) < most:
        number = Fraction(repr(levels[at][0])) / unit
        if side == "bids":
            bound = float(math.floor(number) * unit)
            end = bisect_right(levels, -bound, at, key=lambda level: -level[0])
        else:
            bound = float(math.ceil(number) * unit)
            end = bisect_right(levels, bound, at, key=lambda level: level[0])
        groups.append((bound, total(size for _price, size in levels[at:end])))
        at = end
    return groups


def total(sizes: Iterable[float]) -> float:
    """A sum without the noise of floats behind its 15 digits."""
    return float(f"{math.fsum(sizes):.15g}")


def depth(levels: Levels, mid: float) -> list[tuple[float, float]]:
    """The value of a side within each of `DISTANCES` of the mid, as (bps, value); see `depth_within`."""
    values = [0.0, *accumulate([price * size for price, size in levels])]
    away = [abs(price - mid) for price, _size in levels]
    return [(bps, values[bisect_right(away, mid * (bps / BPS + NOISE))]) for bps in DISTANCES]


def cost(levels: Levels, mid: float, amount: float, side: Side) -> tuple[float, float] | None:
    """The average price of a market order for an amount in the quote currency, and its slippage in bps.

    None where the levels can't fill it; see `signals.slippage_bps`.
    """
    slippage = signals.slippage_bps(levels, mid, amount)
    if slippage is None:
        return None
    away = mid * slippage / BPS
    return (mid + away if side == "asks" else mid - away), slippage


def value(levels: Sequence[tuple[float, float]]) -> float:
    """The value of levels, in the quote currency."""
    return sum(price * size for price, size in levels)
