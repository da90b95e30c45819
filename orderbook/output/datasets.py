"""Datasets: their names, their columns, and rows of them, the same for every output.

Names and meanings are Tardis'. Each row begins with `exchange`, `symbol`, `timestamp` (the exchange's) and
`local_timestamp` (ours, when the frame left the socket). All times are whole microseconds since 1970, UTC.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import msgspec

from orderbook.coinbase.messages import both_times

EXCHANGE = "coinbase"

Kind = Literal["float", "int", "bool", "string", "time"]
Value = float | int | bool | str | None


class Column(NamedTuple):
    """A column of a dataset. Any value but a bool may be None: the book has none."""

    name: str
    kind: Kind = "float"


COMMON = (
    Column("exchange", "string"),
    Column("symbol", "string"),
    Column("timestamp", "time"),
    Column("local_timestamp", "time"),
)

DEPTHS = (10, 50, 100)  # basis points from the mid
AMOUNTS = (10_000, 100_000)  # in the quote currency
IMBALANCES = (1, 5, 25)  # levels a side

_SIGNALS = (
    *map(Column, ("mid", "spread", "spread_bps", "weighted_mid")),
    *(Column(f"imbalance_{levels}") for levels in IMBALANCES),
    *(Column(f"{side}_depth_{bps}bps") for bps in DEPTHS for side in ("bid", "ask")),
    *(Column(f"{side}_slippage_bps_{amount}") for amount in AMOUNTS for side in ("buy", "sell")),
    Column("ofi"),
)

_COLUMNS = {
    "quotes": tuple(map(Column, ("ask_amount", "ask_price", "bid_price", "bid_amount"))),
    "incremental_book_L2": (
        Column("is_snapshot", "bool"),
        Column("side", "string"),
        Column("price"),
        Column("amount"),
    ),
    "trades": (Column("id", "string"), Column("side", "string"), Column("price"), Column("amount")),
    "wide_spreads": (
        Column("began", "time"),
        Column("ended", "time"),
        Column("seconds"),
        Column("updates", "int"),
        Column("max_bps"),
        Column("mean_bps"),
    ),
    "status": (Column("event", "string"), Column("reason", "string")),
}

_INTERVAL = "([1-9][0-9]{0,5})(ms|s|m)"
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000}


@dataclass(frozen=True)
class Dataset:
    """A dataset: its name, and its columns behind those that all have.

    `interval` is in nanoseconds, and `levels` how many of a side; 0 for a dataset without them.
    """

    name: str
    columns: tuple[Column, ...]
    interval: int = 0
    levels: int = 0

    def __reduce__(self) -> tuple[Callable[[str], "Dataset"], tuple[str]]:
        """To other processes, and into states, goes the name, in the place of up to 4,000 columns."""
        return dataset, (self.name,)


class Rows(msgspec.Struct, frozen=True, gc=False):
    """Rows of a dataset that share product and times; each has a value a column of `dataset.columns`.

    A time is None where neither it nor the other one is known.
    """

    dataset: Dataset
    symbol: str
    timestamp: int | None
    local_timestamp: int | None
    values: Sequence[tuple[Value, ...]]

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        symbol: str,
        time: str | None,
        local_timestamp: int | None,
        values: Sequence[tuple[Value, ...]],
    ) -> Self:
        """Rows with the times of a message; see `both_times`."""
        sent, received = both_times(time, local_timestamp)
        return cls(
            dataset,
            symbol,
            None if sent is None else sent // 1_000,
            None if received is None else received // 1_000,
            values,
        )


@functools.cache
def dataset(name: str) -> Dataset:
    """The dataset of a name such as `trades`, `book_snapshot_25_1s`, `signals_100ms`.

    Raises `ValueError` where it is none.
    """
    if name in _COLUMNS:
        return Dataset(name, _COLUMNS[name])
    if found := re.fullmatch(f"signals_{_INTERVAL}", name):
        return Dataset(name, _SIGNALS, _nanoseconds(found[1], found[2]))
    if found := re.fullmatch(f"book_snapshot_(1000|[1-9][0-9]{{0,2}})_{_INTERVAL}", name):
        levels = int(found[1])
        columns = tuple(
            Column(f"{side}[{level}].{what}")
            for level in range(levels)
            for side in ("asks", "bids")
            for what in ("price", "amount")
        )
        return Dataset(name, columns, _nanoseconds(found[2], found[3]), levels)
    names = ", ".join([*_COLUMNS, "book_snapshot_25_1s", "signals_1s"])
    raise ValueError(f"{name!r} is not a dataset such as {names}")


def _nanoseconds(number: str, unit: str) -> int:
    return int(number) * _MILLISECONDS[unit] * 1_000_000
