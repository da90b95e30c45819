"""Datasets: which names are one, and which columns they have."""

import copy
import pickle
from collections.abc import Callable

import pytest

from orderbook.output.datasets import COMMON, Column, Dataset, dataset

NS = 1_000_000_000

SIGNALS = """
    mid spread spread_bps weighted_mid imbalance_1 imbalance_5 imbalance_25
    bid_depth_10bps ask_depth_10bps bid_depth_50bps ask_depth_50bps bid_depth_100bps ask_depth_100bps
    buy_slippage_bps_10000 sell_slippage_bps_10000 buy_slippage_bps_100000 sell_slippage_bps_100000 ofi
"""


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("quotes", "ask_amount ask_price bid_price bid_amount"),
        ("incremental_book_L2", "is_snapshot:bool side:string price amount"),
        ("trades", "id:string side:string price amount"),
        ("wide_spreads", "began:time ended:time seconds updates:int max_bps mean_bps"),
        ("status", "event:string reason:string"),
        ("signals_1s", SIGNALS),
        (
            "book_snapshot_2_1s",
            "asks[0].price asks[0].amount bids[0].price bids[0].amount "
            "asks[1].price asks[1].amount bids[1].price bids[1].amount",
        ),
    ],
)
def test_columns(name: str, columns: str) -> None:
    """Each dataset has the columns that its readers know, in their order and of their kinds."""
    named = [text.partition(":") for text in columns.split()]
    assert [*dataset(name).columns] == [Column(column, kind or "float") for column, _, kind in named]  # type: ignore[arg-type]


def test_common_columns() -> None:
    """Every row begins with where it comes from, and both times."""
    assert [*map(tuple, COMMON)] == [
        ("exchange", "string"),
        ("symbol", "string"),
        ("timestamp", "time"),
        ("local_timestamp", "time"),
    ]


@pytest.mark.parametrize(
    ("name", "levels", "interval"),
    [
        ("book_snapshot_25_1s", 25, NS),
        ("book_snapshot_1_1ms", 1, NS // 1_000),
        ("book_snapshot_1000_100ms", 1_000, NS // 10),
        ("book_snapshot_5_999999m", 5, 999_999 * 60 * NS),
        ("signals_100ms", 0, NS // 10),
        ("signals_15m", 0, 15 * 60 * NS),
        ("quotes", 0, 0),
    ],
)
def test_levels_and_intervals(name: str, levels: int, interval: int) -> None:
    """A name says how many levels of a side, and how long an interval is; neither of most datasets."""
    found = dataset(name)
    assert (found.name, found.levels, found.interval) == (name, levels, interval)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Quotes",
        "quotes ",
        "quotes\n",
        "quotes_1s",
        "signals",
        "signals_",
        "signals_1",
        "signals_1h",
        "signals_0s",
        "signals_01s",
        "signals_1.5s",
        "signals_-1s",
        "signals_1000000ms",
        "signals_25_1s",
        "signals_1s\n",
        "signals_1second",
        "signals_١s",
        "book_snapshot_25",
        "book_snapshot_1s",
        "book_snapshot_0_1s",
        "book_snapshot_025_1s",
        "book_snapshot_1001_1s",
        "book_snapshot_25_0ms",
        "book_snapshot_25_1s\n",
        "../quotes",
        "\x1b[2J\u202e",
    ],
)
def test_what_is_no_dataset(name: str) -> None:
    """The error shows the value, escaped, and names that are ones."""
    with pytest.raises(ValueError) as caught:
        dataset(name)
    text = str(caught.value)
    assert text.startswith(f"{name!r} is not a dataset such as quotes, incremental_book_L2, trades, ")
    assert text.isprintable()


def by_pickle(value: Dataset) -> Dataset:
    return pickle.loads(pickle.dumps(value))  # type: ignore[no-any-return]


@pytest.mark.parametrize("copy_of", [copy.copy, copy.deepcopy, by_pickle])
def test_copies_are_the_dataset(copy_of: Callable[[Dataset], Dataset]) -> None:
    """A dataset that has been copied, or to another process and back, is the very one of its name."""
    found = dataset("book_snapshot_1000_1s")
    assert copy_of(found) is found
    assert len(pickle.dumps(found)) < 200
