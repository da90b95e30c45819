"""Encoding of rows as JSON: an object a row, its keys the dataset's columns in their order.

Times are ISO 8601 in UTC, always with six digits of microseconds; what is None is null. A float has the
fewest digits from which the very same one is read back.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from orderbook.output.datasets import COMMON, EXCHANGE, Dataset, Rows

_encode = msgspec.json.Encoder().encode


def encode(rows: Rows) -> Iterator[bytes]:
    """Each row as a JSON object, made when it is asked for: 3 µs for four columns, 10 for a hundred."""
    make, times = _form(rows.dataset)
    timestamp, local_timestamp = _time(rows.timestamp), _time(rows.local_timestamp)
    for row in rows.values:
        values = [_time(v) if place in times else v for place, v in enumerate(row)] if times else row
        yield _encode(make(EXCHANGE, rows.symbol, timestamp, local_timestamp, *values))


@lru_cache
def _form(dataset: Dataset) -> tuple[Any, frozenset[int]]:
    """A class whose instances are encoded as rows of a dataset, and the places of times among its columns."""
    names = [column.name for column in (*COMMON, *dataset.columns)]
    fields = {f"field{place}": name for place, name in enumerate(names)}
    times = frozenset(place for place, column in enumerate(dataset.columns) if column.kind == "time")
    return msgspec.defstruct("Row", list(fields), rename=fields, gc=False), times


def _time(microseconds: Any) -> str | None:
    if microseconds is None:
        return None
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{fraction:06}Z"


@lru_cache
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
