"""Numbers of a book as the page shows them, judged by decimals."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderbook import signals
from orderbook.book import OrderBookState
from orderbook.coinbase.messages import Level, Snapshot
from orderbook.page import ladder
from orderbook.signals import Levels

STEPS = [0.01, 0.05, 0.1, 0.25, 1.0, 2.5, 7.0, 10.0, 100.0, 3e-9, 12345.678]


@st.composite
def books(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Bids and asks, best first, of whole ticks and whole hundred-millionths."""
    tick = Decimal(draw(st.sampled_from(["0.01", "0.1", "1", "0.00000001"])))
    best = draw(st.integers(2, 10**6))
    sizes = st.integers(1, 10**12)
    sides = []
    for sign in (-1, 1):
        aways = draw(st.dictionaries(st.integers(0, 3_000), sizes, min_size=1, max_size=60))
        ticks = {best + sign * away + (sign > 0): size for away, size in aways.items()}
        listed = sorted((n * sign, size) for n, size in ticks.items() if n > 0)
        sides.append([(float(abs(n) * tick), float(Decimal(size) / 10**8)) for n, size in listed])
    return sides[0] or [(float(tick), 1.0)], sides[1]


def naive(levels: Levels, step: float, side: str) -> list[tuple[float, float]]:
    """The groups of levels, all in decimals."""
    unit, sizes = Decimal(repr(step)), dict[Decimal, Decimal]()
    for price, size in levels:
        rounding = ROUND_FLOOR if side == "bids" else ROUND_CEILING
        group = (Decimal(repr(price)) / unit).to_integral_value(rounding) * unit
        sizes[group] = sizes.get(group, Decimal(0)) + Decimal(repr(size))
    return [(float(group), float(size)) for group, size in sizes.items()]


def book_of(bids: Levels, asks: Levels) -> OrderBookState:
    book = OrderBookState(kept=10)
    book.update(Snapshot("A-B", [Level(*level) for level in bids], [Level(*level) for level in asks]))
    return book


def near(found: Levels, wanted: Levels) -> bool:
    """Whether the prices are the same, and the sizes too, to the 15 digits that count."""
    return [price for price, _ in found] == [price for price, _ in wanted] and all(
        a == pytest.approx(b, rel=1e-14) for (_, a), (_, b) in zip(found, wanted, strict=True)
    )


@given(books(), st.sampled_from(STEPS), st.integers(1, 30))
def test_groups(sides: tuple[Levels, Levels], step: float, levels: int) -> None:
    """Each row is a multiple of the step and the sum of what rounds to it, and no row is left out or cut."""
    bids, asks = ladder.ladder(book_of(*sides), levels, step)
    assert near(bids, naive(sides[0], step, "bids")[:levels])
    assert near(asks, naive(sides[1], step, "asks")[:levels])


def test_no_group_is_cut() -> None:
    """A group is whole, however far from the mid the other side's rows reach."""
    bids, asks = [(100.0, 1.0), (50.5, 1.0)], [(101.0, 1.0), (150.2, 1.0), (150.9, 2.0), (300.0, 1.0)]
    assert ladder.ladder(book_of(bids, asks), 2, 1.0)[1] == [(101.0, 1.0), (151.0, 3.0)]


@given(books(), st.integers(1, 30))
def test_without_a_step(sides: tuple[Levels, Levels], levels: int) -> None:
    """With a step of 0 the rows are the levels."""
    assert ladder.ladder(book_of(*sides), levels, 0.0) == (sides[0][:levels], sides[1][:levels])


@pytest.mark.parametrize(
    ("price", "step", "bid", "ask"),
    [
        (0.3, 0.1, 0.3, 0.3),
        (0.7, 0.1, 0.7, 0.7),
        (63500.01, 10.0, 63500.0, 63510.0),
        (1.1, 2.5, 0.0, 2.5),
        (1e300, 1e-12, 1e300, 1e300),
        (5e-9, 1e12, 0.0, 1e12),
        (123456789012.345, 0.001, 123456789012.345, 123456789012.345),
    ],
)
def test_groups_at_the_edge(price: float, step: float, bid: float, ask: float) -> None:
    """A price that is a multiple of the step is a group's own, whatever floats make of the quotient."""
    assert ladder.grouped([(price, 2.0)], step, "bids", 9) == [(bid, 2.0)]
    assert ladder.grouped([(price, 2.0)], step, "asks", 9) == [(ask, 2.0)]


def test_sizes_are_added_in_decimals() -> None:
    """0.1 and 0.2 make 0.3, with no noise behind it."""
    assert ladder.grouped([(10.2, 0.1), (10.1, 0.2)], 1.0, "bids", 9) == [(10.0, 0.3)]


@given(books())
def test_depth(sides: tuple[Levels, Levels]) -> None:
    """At each distance a side's depth is what the signals say that it is; distances ascend to 1 %."""
    mid = signals.mid(*sides)
    assert mid
    for side in sides:
        curve = ladder.depth(side, mid)
        assert curve == [(bps, signals.depth_within(side, mid, bps)) for bps, _ in curve]
        assert [bps for bps, _ in curve] == sorted({bps for bps, _ in curve}) and curve[-1][0] == 100
        assert len(curve) <= 60


def test_cost() -> None:
    """An order's average price is what its levels cost; None where they can't fill it."""
    bids, asks = [(99.0, 1.0), (98.0, 10.0)], [(101.0, 1.0), (103.0, 10.0)]
    assert ladder.cost(asks, 100.0, 101.0 + 103.0, "asks") == pytest.approx((102.0, 200.0))
    assert ladder.cost(bids, 100.0, 99.0 + 98.0, "bids") == pytest.approx((98.5, 150.0))
    assert ladder.cost(asks, 100.0, 1e6, "asks") is None
