"""Lines of JSON on stdout, as the tools of a shell and a database take them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.oracle import lines
from tests.support.processes import run
from tests.support.recordings import RECORDINGS, frames_of
from tests.support.waiting import DEADLINE

TEXTS, TIMES = ("exchange", "symbol"), ("timestamp", "local_timestamp")
NUMBERS = ("ask_amount", "ask_price", "bid_price", "bid_amount", "spread", "spread_bps", "mid")
ARGUMENTS = ["dataflow:replay('tests/recordings', min_spread=-1)"]
FORMAT = {"ORDERBOOK_FORMAT": "json"}


@pytest.fixture(scope="module")
def printed() -> str:
    """What a replay of the project's recordings prints of all spreads."""
    finished = run(ARGUMENTS, FORMAT)
    assert finished.code == 0, finished.stderr
    return finished.stdout


def as_text(row: dict[str, Any]) -> str:
    """The line of text that says the same as a row."""
    numbers = {
        "bid_price": row["bid_price"],
        "bid_size": row["bid_amount"],
        "ask_price": row["ask_price"],
        "ask_size": row["ask_amount"],
        "spread": row["spread"],
    }
    fields = ", ".join(f"{name}={float(value)!r}" for name, value in numbers.items())
    return f"('{row['symbol']}', OrderBookSummary({fields}))"


def test_jq(printed: str) -> None:
    """jq reads each line, and its numbers and texts are those of the text's line in that place."""
    if not (jq := shutil.which("jq")):
        pytest.skip("jq is not installed")
    ended = subprocess.run([jq, "-c", "."], input=printed.encode(), capture_output=True, timeout=DEADLINE)
    assert (ended.returncode, ended.stderr) == (0, b"")
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert all(tuple(row) == (*TEXTS, *TIMES, *NUMBERS) for row in rows)
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["symbol"], []).append(as_text(row))
    assert found == lines(frames_of(RECORDINGS))


def test_duckdb(printed: str, tmp_path: Path) -> None:
    """DuckDB's `read_json_auto` has a time for each time, and a number for each number."""
    path = tmp_path / "lines.json"
    path.write_text(printed)
    with duckdb.connect() as connection:
        found = connection.sql(f"from read_json_auto('{path}')")
        types = dict(zip(found.columns, map(str, found.types), strict=True))
        assert types == {
            **dict.fromkeys(TEXTS, "VARCHAR"),
            **dict.fromkeys(TIMES, "TIMESTAMP WITH TIME ZONE"),
            **dict.fromkeys(NUMBERS, "DOUBLE"),
        }
        assert len(found) == len(printed.splitlines())


def test_lines_on_change(printed: str) -> None:
    """`ORDERBOOK_ON=change` prints those lines at which the top is not that of the product's line before."""
    wanted: dict[str, list[str]] = {}
    tops: dict[str, list[float]] = {}
    for line in printed.splitlines():
        row = json.loads(line)
        top = [row[name] for name in NUMBERS[:4]]
        if top != tops.get(row["symbol"]):
            wanted.setdefault(row["symbol"], []).append(line)
        tops[row["symbol"]] = top
    finished = run(ARGUMENTS, FORMAT | {"ORDERBOOK_ON": "change"})
    found: dict[str, list[str]] = {}
    for line in finished.lines:
        found.setdefault(json.loads(line)["symbol"], []).append(line)
    assert found == wanted
    assert 0 < len(finished.lines) < len(printed.splitlines())
