"""Signals: numbers computed by hand, and a naive computation in fractions for random books."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderbook import signals
from orderbook.output.datasets import AMOUNTS, DEPTHS, IMBALANCES
from orderbook.signals import Levels, Top

NEAR = 1e-9  # relative
NOTHING = Fraction(0)
BIDS = [(99.99, 1.0), (99.9, 2.0), (99.5, 3.0), (99.0, 4.0), (98.0, 5.0)]
ASKS = [(100.01, 3.0), (100.1, 2.0), (100.5, 1.0), (101.0, 0.5), (102.0, 0.25)]


class Book(NamedTuple):
    """The two sides of a book that is not crossed."""

    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]

    @property
    def mid(self) -> float:
        return known(signals.mid(self.bids, self.asks))


def known(signal: float | None) -> float:
    """A signal that is not None."""
    assert signal is not None
    return signal


@st.composite
def books(draw: st.DrawFn) -> Book:
    """Books of prices around a round one, so that levels often stand exactly at 10, 50, 100 basis points."""
    middle = draw(st.integers(1, 1_000)) * 1_000
    places = draw(st.integers(0, 8))
    sizes = st.integers(1, 10**10)

    def side(away: int) -> list[tuple[float, float]]:
        edges = [middle * bps // 10_000 + tick for bps in DEPTHS for tick in (-1, 0, 1)]
        distances = st.sampled_from([d for d in edges if d > 0]) | st.integers(1, middle // 20)
        listed = draw(st.dictionaries(distances, sizes, min_size=1, max_size=6))
        return [
            (float(f"{middle + away * distance}e-{places}"), float(f"{listed[distance]}e-8"))
            for distance in sorted(listed)
        ]

    return Book(side(-1), side(1))


def exact(number: float) -> Fraction:
    """The decimal that a float was before it was a float."""
    return Fraction(repr(number))


def naive_mid(book: Book) -> Fraction:
    return (exact(book.bids[0][0]) + exact(book.asks[0][0])) / 2


def naive_depth(levels: Levels, mid: Fraction, bps: int) -> Fraction:
    """Sum over all levels that are within the bound, wherever they stand."""
    bound = mid * bps / 10_000
    return sum((exact(p) * exact(s) for p, s in levels if abs(exact(p) - mid) <= bound), NOTHING)


def naive_slippage(levels: Levels, mid: Fraction, amount: Fraction) -> Fraction | None:
    """Fill the amount level by level, then compare the average price with the mid."""
    size = value = NOTHING
    for level_price, level_size in levels:
        part = min(exact(level_size), (amount - value) / exact(level_price))
        size += part
        value += part * exact(level_price)
    if value < amount:
        return None
    return abs(value / size - mid) / mid * 10_000


@given(books())
def test_top_agrees_with_fractions(book: Book) -> None:
    """The mid is the float nearest to its decimal, the others are within 1e-9."""
    (bid, bid_size), (ask, ask_size) = (tuple(map(exact, side[0])) for side in book)
    assert signals.mid(*book) == float((ask + bid) / 2)
    in_bps = float((ask - bid) / ((ask + bid) / 2) * 10_000)
    assert signals.spread_bps(*book) == pytest.approx(in_bps, rel=NEAR)
    weighted = (ask * bid_size + bid * ask_size) / (bid_size + ask_size)
    assert signals.weighted_mid(*book) == pytest.approx(float(weighted), rel=NEAR)


@given(books(), st.sampled_from(IMBALANCES) | st.integers(1, 8))
def test_imbalance_agrees_with_fractions(book: Book, levels: int) -> None:
    """The imbalance is that of the sums of sizes, of fewer levels where there are fewer."""
    bids, asks = (sum(exact(size) for _price, size in side[:levels]) for side in book)
    expected = float((bids - asks) / (bids + asks))
    assert signals.imbalance(*book, levels) == pytest.approx(expected, rel=NEAR, abs=1e-15)


@given(books(), st.sampled_from(DEPTHS))
def test_depth_agrees_with_fractions(book: Book, bps: int) -> None:
    """The depth has each level within the bound and at it, and none that is a tick beyond."""
    for side in book:
        expected = float(naive_depth(side, naive_mid(book), bps))
        assert signals.depth_within(side, book.mid, bps) == pytest.approx(expected, rel=NEAR)


@given(books(), st.fractions(Fraction(1, 1_000), Fraction(6, 5)), st.integers(1, 6))
def test_slippage_agrees_with_fractions(book: Book, share: Fraction, whole: int) -> None:
    """The slippage is that of the average price, also where a level, or the last one, is just taken."""
    for side in book:
        values = [exact(price) * exact(size) for price, size in side]
        for amount in (sum(values, NOTHING) * share, sum(values[:whole], NOTHING)):
            slippage = signals.slippage_bps(side, book.mid, float(amount))
            expected = naive_slippage(side, naive_mid(book), amount)
            assert slippage == (None if expected is None else pytest.approx(float(expected), rel=NEAR))


def test_mid_by_hand() -> None:
    """A mid has no noise of floats in it."""
    assert signals.mid([(63510.14, 0.3)], [(63510.15, 0.2)]) == 63510.145  # floats: 63510.145000000004
    assert signals.mid(BIDS, ASKS) == 100.0


def test_spread_by_hand() -> None:
    """A spread of 0.02 at a mid of 100 has 2 basis points, without noise of floats."""
    assert signals.spread_bps(BIDS, ASKS) == 2.0
    assert signals.spread_bps([(1.0, 1.0)], [(3.0, 1.0)]) == 10_000.0


def test_weighted_mid_by_hand() -> None:
    """A weighted mid is near the side that has less to offer."""
    assert signals.weighted_mid([(100.0, 3.0)], [(104.0, 1.0)]) == 103.0
    assert signals.weighted_mid([(100.0, 1.0)], [(104.0, 3.0)]) == 101.0
    assert signals.weighted_mid([(100.0, 2.0)], [(104.0, 2.0)]) == 102.0


def test_imbalance_by_hand() -> None:
    """An imbalance is of the best levels that are asked for, and of all where there are fewer."""
    assert signals.imbalance(BIDS, ASKS, 1) == (1 - 3) / (1 + 3)
    assert signals.imbalance(BIDS, ASKS, 2) == (3 - 5) / (3 + 5)
    assert signals.imbalance(BIDS, ASKS, 5) == (15 - 6.75) / (15 + 6.75)
    assert signals.imbalance(BIDS, ASKS, 25) == (15 - 6.75) / (15 + 6.75)
    assert signals.imbalance(BIDS[:1], ASKS, 2) == (1 - 5) / (1 + 5)


def test_depth_by_hand() -> None:
    """Levels at exactly 10, 50 and 100 basis points from the mid of 100 count."""
    assert signals.depth_within(ASKS, 100.0, 10) == pytest.approx(300.03 + 200.2)
    assert signals.depth_within(ASKS, 100.0, 50) == pytest.approx(300.03 + 200.2 + 100.5)
    assert signals.depth_within(ASKS, 100.0, 100) == pytest.approx(300.03 + 200.2 + 100.5 + 50.5)
    assert signals.depth_within(BIDS, 100.0, 10) == pytest.approx(99.99 + 199.8)
    assert signals.depth_within(BIDS, 100.0, 100) == pytest.approx(99.99 + 199.8 + 298.5 + 396.0)
    assert signals.depth_within(ASKS, 100.0, 0.5) == 0.0


@pytest.mark.parametrize(
    ("mid", "bps", "price", "beyond"),
    [
        (63510.0, 10, 63573.51, 63573.5101),  # as floats the price is 63.51000000000204 from the mid
        (63510.0, 50, 63192.45, 63192.4499),
        (0.5, 100, 0.505, 0.505000001),
        (3.0, 50, 2.985, 2.98499999999),
    ],
)
def test_depth_counts_the_bound_itself(mid: float, bps: int, price: float, beyond: float) -> None:
    """A price at the bound counts though floats have noise, and one that is hardly beyond it doesn't."""
    assert abs(price - mid) > mid * bps / 10_000  # in floats
    assert signals.depth_within([(price, 2.0)], mid, bps) == price * 2
    assert signals.depth_within([(beyond, 2.0)], mid, bps) == 0.0


def test_slippage_by_hand() -> None:
    """An order is filled from the best level on, the last one in part."""
    asks, bids = [(101.0, 1.0), (102.0, 2.0)], [(99.0, 1.0), (98.0, 2.0)]
    assert signals.slippage_bps(asks, 100.0, 101.0) == pytest.approx(100)
    assert signals.slippage_bps(asks, 100.0, 203.0) == pytest.approx(150)  # 1 at 101, 1 at 102
    assert signals.slippage_bps(asks, 100.0, 305.0) == pytest.approx((305 / 3 - 100) * 100)
    assert signals.slippage_bps(bids, 100.0, 99.0) == pytest.approx(100)
    assert signals.slippage_bps(bids, 100.0, 197.0) == pytest.approx(150)
    assert signals.slippage_bps(bids, 100.0, 295.0) == pytest.approx((100 - 295 / 3) * 100)


def test_slippage_of_all_that_is_there() -> None:
    """The sum of all levels is filled, though floats may add up to less; what is above it is not."""
    levels = [(1.0, 0.1)] * 10
    left = 1.0
    for price, size in levels:
        left -= price * size
    assert left > 0  # in floats
    assert signals.slippage_bps(levels, 0.8, 1.0) == pytest.approx(2_500)
    assert signals.slippage_bps(levels, 0.8, 1.00000001) is None


@given(books(), st.floats(0.01, 1))
def test_slippage_within_the_best_level_is_half_the_spread(book: Book, share: float) -> None:
    """An order that the best level fills costs half the spread, on both sides."""
    half = known(signals.spread_bps(*book)) / 2
    for side in book:
        (price, size), *_rest = side
        slippage = signals.slippage_bps(side, book.mid, price * size * share)
        assert slippage == pytest.approx(half, rel=NEAR)


@given(books(), st.floats(0.001, 1.5), st.floats(0.001, 1.5))
def test_slippage_grows_with_the_amount(book: Book, one: float, other: float) -> None:
    """A larger order costs no less, and can't be filled where a smaller one can't."""
    for side in book:
        whole = sum(price * size for price, size in side)
        small, large = (signals.slippage_bps(side, book.mid, whole * share) for share in sorted([one, other]))
        assert large is None or (small is not None and 0 < small <= large * (1 + NEAR))


@given(books(), st.floats(0, 300), st.floats(0, 300), st.integers(1, 5))
def test_depth_adds_up(book: Book, one: float, other: float, cut: int) -> None:
    """A depth is the sum of those of a side's parts, and a wider one is no less."""
    near, far = sorted([one, other])
    for side in book:
        whole = known(signals.depth_within(side, book.mid, far))
        if 0 < cut < len(side):
            parts = (signals.depth_within(part, book.mid, far) for part in (side[:cut], side[cut:]))
            assert whole == pytest.approx(sum(map(known, parts)))
        assert 0 <= known(signals.depth_within(side, book.mid, near)) <= whole


@given(books())
def test_mirrored_book(book: Book) -> None:
    """With the sides swapped, a book has the opposite imbalance, the same spread, and its mids mirrored."""
    turn = math.ceil(2 * book.asks[-1][0])  # prices p become turn − p
    mirrored = Book(*([(turn - price, size) for price, size in side] for side in reversed(book)))
    for levels in IMBALANCES:
        opposite = signals.imbalance(*mirrored, levels)
        assert opposite == -known(signals.imbalance(*book, levels))
    assert mirrored.mid == pytest.approx(turn - book.mid)
    assert signals.weighted_mid(*mirrored) == pytest.approx(turn - known(signals.weighted_mid(*book)))


@given(books(), st.integers(-20, 20), st.integers(-20, 20))
def test_other_units(book: Book, price_power: int, size_power: int) -> None:
    """In other units of currency, values change as the units do, shares and basis points don't."""
    by, times = 2.0**price_power, 2.0**size_power
    other = Book(*([(price * by, size * times) for price, size in side] for side in book))
    assert other.mid == pytest.approx(book.mid * by, rel=NEAR)
    assert signals.spread_bps(*other) == pytest.approx(known(signals.spread_bps(*book)), rel=NEAR)
    assert signals.weighted_mid(*other) == pytest.approx(known(signals.weighted_mid(*book)) * by, rel=NEAR)
    assert signals.imbalance(*other, 5) == signals.imbalance(*book, 5)
    mid = book.mid
    for side, other_side in zip(book, other, strict=True):
        for bps in DEPTHS:
            depth = known(signals.depth_within(side, mid, bps))
            assert signals.depth_within(other_side, mid * by, bps) == depth * by * times
        for amount in AMOUNTS:
            slippage = signals.slippage_bps(side, mid, amount)
            assert signals.slippage_bps(other_side, mid * by, amount * by * times) == slippage


NUMBERS = st.floats(5e-324, 1e300)  # as messages may have them


@given(st.dictionaries(NUMBERS, NUMBERS, min_size=2, max_size=8), st.integers(1, 7))
def test_absurd_numbers(sizes: dict[float, float], cut: int) -> None:
    """Whatever numbers messages may bring, a signal is in its range, never NaN, and none raises."""
    levels = sorted(sizes.items())
    cut = min(cut, len(levels) - 1)
    bids, asks = levels[:cut][::-1], levels[cut:]
    bid, ask = bids[0][0], asks[0][0]
    mid = known(signals.mid(bids, asks))
    assert bid <= mid <= ask
    assert 0 <= known(signals.spread_bps(bids, asks)) <= 20_000
    assert bid <= known(signals.weighted_mid(bids, asks)) <= ask * (1 + NEAR)
    for count in IMBALANCES:
        assert -1 <= known(signals.imbalance(bids, asks, count)) <= 1
    for side in (bids, asks):
        for bps in DEPTHS:
            assert known(signals.depth_within(side, mid, bps)) >= 0
        for amount in AMOUNTS:
            slippage = signals.slippage_bps(side, mid, amount)
            assert slippage is None or slippage >= 0


@pytest.mark.parametrize(
    "signal",
    [
        signals.mid,
        signals.spread_bps,
        signals.weighted_mid,
        lambda bids, asks: signals.imbalance(bids, asks, 5),
    ],
)
def test_signal_of_both_sides_is_none_without_one(signal: Callable[[Levels, Levels], float | None]) -> None:
    """What needs both sides is None where either has no level, and a number where both have one."""
    assert signal([], []) is signal(BIDS, []) is signal([], ASKS) is None
    assert signal(BIDS[:1], ASKS[:1]) is not None


def test_signal_of_a_side_is_none_without_levels() -> None:
    """An empty side has neither a depth nor a slippage, while one without near levels has a depth of 0."""
    assert signals.depth_within([], 100.0, 10) is None
    assert signals.slippage_bps([], 100.0, 10.0) is None
    assert signals.depth_within([(200.0, 1.0)], 100.0, 10) == 0.0


@pytest.mark.parametrize("levels", [0, -1])
def test_imbalance_refuses_levels(levels: int) -> None:
    """An imbalance over less than one level is an error that has the number."""
    with pytest.raises(ValueError, match=f", not of {levels}$"):
        signals.imbalance(BIDS, ASKS, levels)


@pytest.mark.parametrize("amount", [0.0, -1.0, math.nan])
def test_slippage_refuses_amounts(amount: float) -> None:
    """A market order for nothing, or less, is an error that has the amount."""
    with pytest.raises(ValueError, match=f", not for {amount}$"):
        signals.slippage_bps(ASKS, 100.0, amount)


BEFORE = (100.0, 5.0, 101.0, 7.0)


@pytest.mark.parametrize(
    ("after", "flow"),
    [
        ((100.0, 5.0, 101.0, 7.0), 0.0),  # nothing
        ((100.0, 8.0, 101.0, 7.0), 3.0),  # a limit order to buy joins the best bid
        ((100.0, 1.0, 101.0, 7.0), -4.0),  # a market order to sell takes a part of it, or a part is canceled
        ((100.5, 2.0, 101.0, 7.0), 2.0),  # a limit order to buy above the best bid
        ((99.5, 9.0, 101.0, 7.0), -5.0),  # the best bid is gone
        ((100.0, 5.0, 101.0, 9.0), -2.0),  # a limit order to sell joins the best ask
        ((100.0, 5.0, 101.0, 4.0), 3.0),  # a market order to buy takes a part of it, or a part is canceled
        ((100.0, 5.0, 100.5, 2.0), -2.0),  # a limit order to sell below the best ask
        ((100.0, 5.0, 101.5, 9.0), 7.0),  # the best ask is gone
        ((100.5, 2.0, 101.5, 9.0), 9.0),  # both rise: 2 + 7
        ((99.5, 9.0, 100.5, 2.0), -7.0),  # both fall: −5 − 2
        ((99.5, 9.0, 101.5, 2.0), 2.0),  # both gone: −5 + 7
    ],
)
def test_order_flow_by_the_cases_of_the_paper(after: Top, flow: float) -> None:
    """A change of the top counts what was added to the bid, less what was added to the ask."""
    assert signals.order_flow_imbalance(BEFORE, after) == flow


FEW = st.integers(1, 4).map(float)  # so that prices often stay the same
TOPS = st.tuples(FEW, FEW, FEW, FEW).map(lambda top: (top[0], top[1], 4 + top[2], top[3]))


@given(TOPS, TOPS)
def test_order_flow_is_symmetric(before: Top, after: Top) -> None:
    """The way back, and the same change of a book with its sides swapped, have the opposite flow."""
    flow = signals.order_flow_imbalance(before, after)
    assert signals.order_flow_imbalance(after, before) == -flow
    swapped = ((10 - ask, ask_size, 10 - bid, bid_size) for bid, bid_size, ask, ask_size in (before, after))
    assert signals.order_flow_imbalance(*swapped) == -flow


@given(st.lists(st.tuples(FEW, FEW), min_size=2, max_size=9))
def test_order_flow_of_sizes_adds_up(sizes: list[tuple[float, float]]) -> None:
    """While prices stay, the flow of an interval is what the bid has gained, less what the ask has."""
    tops = [(100.0, bid_size, 101.0, ask_size) for bid_size, ask_size in sizes]
    flow = sum(map(signals.order_flow_imbalance, tops[:-1], tops[1:]))
    assert flow == (sizes[-1][0] - sizes[0][0]) - (sizes[-1][1] - sizes[0][1])
