"""Signals of a book: numbers computed from its levels.

    bids, asks = book.depth(500)
    middle = signals.mid(bids, asks)
    near = signals.depth_within(bids, middle, 10)

Levels are (price, size), best first, as `OrderBookState.depth` gives them, of a book that is not crossed: one
that has a summary. Prices, and the values of levels, are in the quote currency (EUR of BTC-EUR), sizes in
the base currency (BTC). What needs a side that has no level is None.

All signals of the dataset `signals_1s` together take 60 to 80 µs for 500 levels a side of BTC-USD or ETH-USD,
and 200 µs where each of the levels counts.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal

Levels = Sequence[tuple[float, float]]  # (price, size), best first
Top = tuple[float, float, float, float]  # bid price and size, ask price and size

BPS = 10_000  # basis points of a whole
NOISE = 1e-12  # of a price or an amount: floats are nearer to their decimals, ticks are farther apart


def mid(bids: Levels, asks: Levels) -> float | None:
    """The middle of the best bid b and the best ask a: (a + b) / 2.

    A price in b..a, exact in decimals, as a book's spread is: 63510.145, not 63510.145000000004. Takes 1 µs.
    None without both sides.

    Source: convention.
    """
    if not bids or not asks:
        return None
    return float((_decimal(asks[0][0]) + _decimal(bids[0][0])) / 2)


def spread_bps(bids: Levels, asks: Levels) -> float | None:
    """The spread as a share of the mid: (a − b) / mid · 10,000.

    In basis points, 0 to 20,000, of a spread and a mid that are exact in decimals. (The threshold of wide
    spreads is a share of the ask price instead.) Takes 2 µs. None without both sides.

    Source: convention, the relative quoted spread.
    """
    if not bids or not asks:
        return None
    ask, bid = _decimal(asks[0][0]), _decimal(bids[0][0])
    return float(ask - bid) / float((ask + bid) / 2) * BPS


def weighted_mid(bids: Levels, asks: Levels) -> float | None:
    """The best prices, each weighted by the other side's size: (a·β + b·α) / (α + β).

    β is the size at the best bid b, α that at the best ask a. A price in b..a, near a where more is bid than
    asked. Takes 0.2 µs. None without both sides.

    Source: convention. Stoikov (2018, The micro-price: a high-frequency estimator of future prices) starts
    from it; his micro-price is another number, which needs a fit.
    """
    if not bids or not asks:
        return None
    (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
    return bid + (ask - bid) * (bid_size / (bid_size + ask_size))  # the same, and a product can't overflow


def imbalance(bids: Levels, asks: Levels, levels: int) -> float | None:
    """How much more is bid than asked: (Σβ − Σα) / (Σβ + Σα), sums of sizes of the best `levels` a side.

    −1 to 1, no unit. A side that has fewer levels counts with those. Takes 0.6 µs for 1 level, 2 µs for 25.
    None without both sides. Raises `ValueError` for less than 1 level.

    Source: convention; of 1 level, the volume imbalance of Cartea, Donnelly and Jaimungal (2018, Enhancing
    trading strategies with order book signals).
    """
    if levels < 1:
        raise ValueError(f"an imbalance is of 1 or more levels, not of {levels!r}")
    if not bids or not asks:
        return None
    # fsum() gives the same in each version of Python; sum() rounds otherwise from 3.12 on.
    bid_size = math.fsum([size for _price, size in bids[:levels]])
    ask_size = math.fsum([size for _price, size in asks[:levels]])
    return (bid_size - ask_size) / (bid_size + ask_size)


def depth_within(levels: Levels, mid: float, bps: float) -> float | None:
    """The value of a side near the mid: Σ price · size where |price − mid| ≤ mid · bps / 10,000.

    In the quote currency, 0 or above. A price at the bound counts; since floats have noise, so does one that
    is beyond it by less than 1e-12 of the mid. Levels that are not given are not counted: give a side to
    beyond the bound, or all of it. Takes 2 µs, and 40 ns a level that counts. None for a side without levels.

    Source: convention, the market depth at so many basis points.
    """
    if not levels:
        return None
    reach = mid * (bps / BPS + NOISE)
    value = 0.0
    for price, size in levels[: bisect_right(levels, reach, key=lambda level: abs(level[0] - mid))]:
        value += price * size
    return value


def slippage_bps(levels: Levels, mid: float, amount: float) -> float | None:
    """What a market order for `amount` costs, against the mid: |average price − mid| / mid · 10,000.

    The order takes a side's levels, best first, until their Σ price · size is `amount`, in the quote
    currency: it spends that on asks, or gets it for bids. The average price is `amount` by the size taken.
    In basis points, above 0 for both sides, without fees; it is half the spread where the best level is
    enough. Takes 0.5 µs, and 0.1 µs a level that is taken.
    None where the levels are worth less than `amount`, by more than the noise of floats, 1e-12 of it. Raises
    `ValueError` for an amount that is not above 0.

    Source: convention, with the mid as the price that was hoped for.
    """
    if not amount > 0:
        raise ValueError(f"a market order is for an amount above 0, not for {amount!r}")
    left, noise = amount, amount * NOISE
    taken = cost = 0.0
    for price, size in levels:
        value = price * size
        if value > left:
            size = left / price
        taken += size
        cost += size * (price - mid)  # the average less the mid would lose digits
        left -= value
        if left <= noise:
            return abs(cost) / taken / mid * BPS
    return None


def order_flow_imbalance(before: Top, after: Top) -> float:
    """What one change of the top added to the bid, less what it added to the ask.

    e = 1{b ≥ b'}·β − 1{b ≤ b'}·β' − 1{a ≤ a'}·α + 1{a ≥ a'}·α', for the best bid b of size β and the best
    ask a of size α; primes are before the change. The imbalance of an interval is the sum over its changes.

    In the base currency, any number: above 0 where the bid rose or grew, or the ask rose or shrank. Takes
    0.2 µs. Never None; a top before a snapshot and one after it are not a change apart, so give no such pair.

    Source: Cont, Kukanov and Stoikov (2014, The price impact of order book events).
    """
    old_bid, old_bid_size, old_ask, old_ask_size = before
    bid, bid_size, ask, ask_size = after
    flow = 0.0
    if bid >= old_bid:
        flow += bid_size
    if bid <= old_bid:
        flow -= old_bid_size
    if ask <= old_ask:
        flow -= ask_size
    if ask >= old_ask:
        flow += old_ask_size
    return flow


def _decimal(price: float) -> Decimal:
    # A price was a decimal before it was a float, and repr gives that decimal back.
    return Decimal(repr(price))
