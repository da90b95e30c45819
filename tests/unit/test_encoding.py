"""Rows as JSON."""

import json
import math
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderbook.output.datasets import COMMON, Rows, Value, dataset
from orderbook.output.encoding import encode

AT = 1_795_528_800_123_456  # 2026-11-24T14:00:00.123456Z


def encoded(name: str, *rows: tuple[Value, ...], timestamp: int | None = AT) -> list[str]:
    """The lines of rows whose `local_timestamp` is a second later."""
    local = None if timestamp is None else timestamp + 1_000_000
    return [line.decode() for line in encode(Rows(dataset(name), "BTC-USD", timestamp, local, rows))]


def test_rows() -> None:
    """A row is an object: what all datasets have, then the columns in order; rows share their times."""
    times = '"timestamp":"2026-11-24T14:00:00.123456Z","local_timestamp":"2026-11-24T14:00:01.123456Z"'
    head = f'{{"exchange":"coinbase","symbol":"BTC-USD",{times},'
    assert encoded("trades", ("7", "buy", 60000.0, 0.00000001), ("8", "sell", 1.5, 2.0)) == [
        head + '"id":"7","side":"buy","price":60000.0,"amount":1e-8}',
        head + '"id":"8","side":"sell","price":1.5,"amount":2.0}',
    ]


def test_whole_seconds_and_none() -> None:
    """A time has six digits of microseconds, whatever they are; what is None is null, be it a time or not."""
    [line] = encoded("wide_spreads", (AT - 123_456, None, 0.5, 3, None, -0.25), timestamp=None)
    assert line == (
        '{"exchange":"coinbase","symbol":"BTC-USD","timestamp":null,"local_timestamp":null,'
        '"began":"2026-11-24T14:00:00.000000Z","ended":null,"seconds":0.5,"updates":3,"max_bps":null,'
        '"mean_bps":-0.25}'
    )


@pytest.mark.parametrize("text", ["gap", 'say "no"\n', "\x1b[31m", "é", "\u2028", "\x00", "𝄞"])
def test_text(text: str) -> None:
    """Whatever stands in a text, a row is one line of JSON, and the text is read back."""
    [line] = encoded("status", ("stale", text))
    assert "\n" not in line and "\x1b" not in line
    assert json.loads(line)["reason"] == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(5e-324, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e308"), (0.1, "0.1"), (-0.0, "-0.0")],
)
def test_numbers(number: float, text: str) -> None:
    """A float has the fewest digits from which the same one is read back."""
    [line] = encoded("book_snapshot_1_1s", (number, None, 1e22, 123456789.12345679))
    assert line.endswith(
        f'"asks[0].price":{text},"asks[0].amount":null,"bids[0].price":1e22,'
        '"bids[0].amount":123456789.12345679}'
    )


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 253_402_300_799_999_999))
def test_read_back(number: float, microseconds: int) -> None:
    """Every float and every time is read back as it was."""
    [line] = encode(Rows(dataset("signals_1s"), "BTC-USD", microseconds, None, [(number,) * 18]))
    row = json.loads(line)
    _, _, fraction = row["timestamp"].rpartition(".")
    assert len(fraction) == 7 and int(fraction[:-1]) == microseconds % 1_000_000
    assert all(
        math.copysign(1, row[c.name]) == math.copysign(1, number) for c in dataset("signals_1s").columns
    )
    assert row["mid"] == number


def test_duckdb_reads_types(tmp_path: Path) -> None:
    """DuckDB's `read_json_auto` finds which columns are times and which are numbers, where some are null."""
    path = tmp_path / "rows.json"
    lines = [
        *encoded("wide_spreads", (AT, AT + 1, 0.5, 3, 1.5, None), timestamp=None),
        *encoded("wide_spreads", (AT - 123_456, None, 1e-8, 3, 1.5, 2.0), timestamp=AT - 123_456),
    ]
    path.write_text("".join(f"{line}\n" for line in lines))
    with duckdb.connect() as connection:
        found = connection.sql(f"from read_json_auto('{path}')")
        types = dict(zip(found.columns, map(str, found.types), strict=True))
        microseconds = connection.sql(f"select epoch_us(began) from read_json_auto('{path}')").fetchall()
    columns = (*COMMON, *dataset("wide_spreads").columns)
    names = {"time": "TIMESTAMP WITH TIME ZONE", "float": "DOUBLE", "int": "BIGINT", "string": "VARCHAR"}
    assert types == {column.name: names[column.kind] for column in columns}
    assert microseconds == [(AT,), (AT - 123_456,)]
