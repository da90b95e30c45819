"""Cells of the view in a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from orderbook.watch import cells

numbers = st.floats(0, 1e15)


@pytest.mark.parametrize(
    ("number", "before", "after", "shown"),
    [
        (63510.1, 5, 2, "    63510.10"),
        (0.02238611, 1, 8, "  0.02238611"),
        (12345.02238611, 5, 8, "12345.022386"),
        (1.5, 5, 8, "    1.500000"),  # room for five digits before the point, which others have
        (1e-8, 5, 8, "   <0.000001"),
        (0.0, 1, 2, "        0.00"),
        (1e15, 1, 2, "    1.00e+15"),
        (None, 1, 2, "            "),
    ],
)
def test_fixed_number(number: float | None, before: int, after: int, shown: str) -> None:
    """Numbers of a column have as many decimals, fewer where a digit would be lost, and none becomes 0."""
    assert cells.fixed(number, 12, before, after) == shown


@given(numbers, st.integers(1, 20), st.integers(1, 16), st.integers(0, 10))
def test_numbers_have_the_width_of_their_column(number: float, width: int, before: int, after: int) -> None:
    """Whatever number comes, its cell is as wide as the column."""
    assert len(cells.fixed(number, width, before, after)) == width
    assert len(cells.pointed(number, width, before)) == width
    assert len(cells.compact(number, width)) == width


def test_points_of_different_products_are_below_each_other() -> None:
    """Prices with decimals of their own have their points in one column."""
    shown = [cells.pointed(price, 14, 5) for price in (63510.145, 0.00001234, 1775.0, 12.5)]
    assert shown == ["63510.145     ", "    0.00001234", " 1775         ", "   12.5       "]


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0.0, "0.00"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (999.4, "999"),
        (999.6, "1.00k"),
        (1_234_567.0, "1.23M"),
        (99.96e6, "100M"),
        (5.5e12, "5.50T"),
        (None, ""),
    ],
)
def test_compact_number(number: float | None, shown: str) -> None:
    """A large number has three digits and a unit."""
    assert cells.compact(number, 7) == shown.rjust(7)


@given(st.floats(-2, 2), st.integers(3, 30))
def test_bars_have_the_width_of_their_column(share: float, width: int) -> None:
    """Whatever the share, also beyond the whole, a bar is as wide as its column, and above 0 it is seen."""
    assert len(cells.bar(share, width)) == len(cells.leftward(share, width)) == width
    assert len(cells.balance(share, width)) == width
    assert bool(cells.bar(share, width).strip()) == bool(cells.leftward(share, width).strip()) == (share > 0)


def test_bars_show_shares() -> None:
    """A bar is as long as its share, to an eighth of a cell; an imbalance goes from the middle to a side."""
    assert [cells.bar(share, 4) for share in (0, 0.01, 0.5, 0.53, 1)] == [
        "    ",
        "▏   ",
        "██  ",
        "██▏ ",
        "████",
    ]
    assert [cells.leftward(share, 4) for share in (0, 0.4, 1)] == ["    ", "  ▐█", "████"]
    shown = [cells.balance(imbalance, 9) for imbalance in (-1, 0, 0.5, None)]
    assert shown == ["████│    ", "    │    ", "    │██  ", "         "]


@given(st.text(max_size=30), st.integers(1, 12))
def test_texts_have_the_width_of_their_column(text: str, width: int) -> None:
    """A text of any characters, wide ones too, fills its column; one that is too long ends in …."""
    for shown in (cells.left(text, width), cells.right(text, width)):
        assert cell_len(shown) == width
        assert ("…" in shown) == (cell_len(text) > width or "…" in text)
