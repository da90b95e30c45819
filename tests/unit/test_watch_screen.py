"""Screens of the view in a terminal, as text."""

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from orderbook.watch import screen
from orderbook.watch.frames import decode
from orderbook.watch.model import Model
from tests.support.pushed import TIME, book, pushed, row, status, trade
from tests.support.screens import SIZES, ladder_of, levels_of

BIDS = [[63510.14 - place, 1.5 + place / 8] for place in range(40)]
ASKS = [[63510.15 + place, 0.5 + place / 4] for place in range(40)]


def shown(
    model: Model, size: tuple[int, int] = (80, 24), now: float = 0.0, with_help: bool = False
) -> list[str]:
    """A screen's lines."""
    return [line.plain for line in screen.draw(model, now, *size, with_help)]


def watched(**parts: Any) -> Model:
    """A model that took one frame of a live run, by default of one product with many levels."""
    model = Model()
    model.connected(0.0)
    parts = {"status": status(), "products": [row()], "book": book(bids=BIDS, asks=ASKS)} | parts
    model.take(decode(pushed(**parts)), 0.0)
    return model


@given(st.integers(1, 250), st.integers(1, 60), st.booleans(), st.integers(0, 30))
def test_screen_has_its_size(width: int, height: int, with_help: bool, products: int) -> None:
    """Whatever the terminal's size, the lines are as many and each as wide, with one product or many."""
    model = watched(products=[row(f"{number:03}-USD") for number in range(products)], trades=[trade()])
    lines = shown(model, (width, height), with_help=with_help)
    assert [cell_len(line) for line in lines] == [width] * height


@pytest.mark.parametrize(("size", "levels"), [((80, 24), 10), ((200, 50), 23)])
def test_ladder(size: tuple[int, int], levels: int) -> None:
    """So many levels a side are in their order around the mid, with sizes summed up from there."""
    asks, bids = levels_of(shown(watched(), size), size)
    for listed, wanted in ((asks, ASKS), (bids, BIDS)):
        sums = list(accumulate(size for _price, size in wanted))
        figures = [(round(price, 2), size, total) for (price, size), total in zip(wanted, sums, strict=True)]
        assert listed == figures[:levels]
    assert screen.levels(size[1]) == levels


@pytest.mark.parametrize("size", SIZES)
def test_points_of_a_column_are_below_each_other(size: tuple[int, int]) -> None:
    """The decimal points of prices and sizes, of whatever digits, are in one column each."""
    ladder = ladder_of(shown(watched(book=book()), size), size)
    points = {
        tuple(place for place, c in enumerate(line) if c == ".")[:2] for line in ladder if " bp" not in line
    }
    assert len(points - {()}) == 1


def test_spread_below_a_basis_point() -> None:
    """The line of the mid has the mid, the spread and its basis points."""
    (line,) = [line for line in shown(watched()) if " bp ─" in line]
    assert "63510.145 spread    0.01   0.0016 bp" in line


def test_one_sided_ladder_has_its_middle_in_the_middle() -> None:
    """Few levels lie at the mid, and the rest is blank."""
    ladder = ladder_of(shown(watched(book=book())), (80, 24))
    assert [bool(line.strip()) for line in ladder] == [True] + [False] * 7 + [True] * 7 + [False] * 7


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("event", ["stale", "crossed", "connecting"])
def test_not_live(event: str, size: tuple[int, int]) -> None:
    """A product that isn't live has a sign, its word and the reason, and no price."""
    model = watched(products=[row(event=event, reason="no frame")], book=book(event=event))
    lines = shown(model, size)
    assert any(line.startswith("!›BTC-USD ") and f" {event}: no frame" in line for line in lines)
    assert any(f" ! BTC-USD: {event}" in line for line in ladder_of(lines, size))
    assert "63510" not in "".join(lines)
    assert "●" not in "".join(lines)


def test_silent_product() -> None:
    """A silent product keeps its prices, with a sign and a word, and everything of it is grey."""
    model = watched()
    model.take(decode(pushed("2026-11-24T12:00:05Z")), 0.0)
    lines = screen.draw(model, 0.0, 80, 24)
    (in_table,) = [line for line in lines if "~›BTC-USD" in line.plain]
    assert "63510.145" in in_table.plain
    assert " silent" in in_table.plain
    assert any(" ~ BTC-USD: silent: for 5 s" in line.plain for line in lines)
    for line in lines:
        at = line.plain.find("63510.")
        styles = {str(span.style) for span in line.spans if span.start <= at < span.end}
        assert at < 0 or any("bright_black" in style for style in styles)


def test_nothing_of_a_lost_connection_looks_live() -> None:
    """Without connection, or without frames, the first line says so, and no price is left."""
    model = watched(trades=[])
    for now, lost, said in (
        (0.0, "Connection refused", "! no connection: Connection"),
        (9.0, "", "! no data: for 9"),
    ):
        model.lost = lost
        lines = shown(model, now=now)
        assert said in lines[0]
        assert "63510" not in "".join(lines)
        assert "●" not in "".join(lines)
        assert "LIVE" not in "".join(lines)


def test_kind_of_run_and_what_is_live() -> None:
    """The first line says whether this is live or a replay, and warns of products that aren't live."""
    assert shown(watched())[0].startswith(" LIVE  1/1 live")
    assert shown(watched(status=status(kind="replay")))[0].startswith(" REPLAY  1/1 live")
    assert shown(watched(status=status(live=3, products=4)))[0].startswith(" LIVE ! 3/4 live")
    counts = status(resyncs=3, gaps=1, missing_trades=7, lag_p50=0.0042, lag_p99=0.011)
    first = shown(watched(status=counts))[0]
    assert "resyncs 3  gaps 1  missing 7  lag 4/11 ms" in first
    assert first.endswith(f" {TIME[11:19]} ")


def test_trades_and_depth() -> None:
    """Trades are listed from the newest on, with a sign for the taker's side, and depths with both sides."""
    signals = {"bid_depth_10bps": 1_234_567, "ask_depth_10bps": 999, "imbalance_5": -0.25}
    trades = [trade(id="1", side="sell", amount=2.0), trade(id="2", amount=0.25)]
    text = "\n".join(shown(watched(book=book(signals=signals), trades=trades)))
    assert text.index("12:00:00 ▲    63510.15") < text.index("12:00:00 ▼    63510.15")
    assert " 10 bp   1.23M " in text
    assert "     999" in text
    assert "imbalance  5" in text
    assert " -0.25 " in text


def test_long_names_are_truncated() -> None:
    """A name that is too long ends in …, and moves nothing."""
    lines = shown(watched(products=[row("A" * 60), row("BTC-USD")], book=None))
    assert lines[2].index("63510.145") == lines[3].index("63510.145")
    assert "AAA…" in lines[2]


def test_small_terminal() -> None:
    """A terminal that is too small is told what is needed."""
    assert shown(Model(), (60, 20))[0].startswith("80×24 or more is needed, this terminal has 60×20")


def test_help_fits() -> None:
    """The help has all of its lines and words in the smallest terminal, with the keys below it."""
    text = "\n".join(shown(watched(), with_help=True))
    for line in screen.HELP:
        assert line in text
    assert "? help   q quit" in text
