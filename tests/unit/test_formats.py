"""Formats: files as other tools read them, whole or not at all."""

import fcntl
import gzip
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orderbook.output.datasets import COMMON, dataset
from orderbook.output.formats import Format, FormatName, format_of
from orderbook.output.spool import Spool, SpoolFolder
from orderbook.output.spooler import Limits
from tests.support.rows import MIDNIGHT, files, lines, rows, spooler, spools, trades, write

TIME = (MIDNIGHT + 36_930_000_000, MIDNIGHT + 36_930_000_123)  # 10:15:30
QUOTES = rows("quotes", (0.5, 100.25, 100.0, 1e-8), (None, None, 99.0, 2.0), times=TIME)
CHANGES = rows("incremental_book_L2", (True, "bid", 1.0, 0.0), (False, "ask", 2.0, 3.0), times=TIME)
WIDE = rows("wide_spreads", (MIDNIGHT, MIDNIGHT + 1, 1e-6, 7, 2.5, 1.5), times=TIME)
UNTIMED = rows("status", ("live", None), times=(None, None))
CSV = "coinbase_trades_2026-11-25_BTC-USD.csv.gz"
numbers = count()


def unfinished(folder: Path, first: int, format: FormatName = "csv") -> tuple[Spool, Format]:
    """A spool with two trades that is left behind, and the format that makes a file of it."""
    writer, backlog = spooler(folder, format, Limits(flush_interval=0))
    backlog.add(trades(first, 2))
    writer.turn()
    writer.close()
    [taken] = SpoolFolder.left_behind(folder, format)
    [spool] = taken.spools()
    return spool, format_of(format)


def test_parquet_types(tmp_path: Path) -> None:
    """Times, numbers, bools and texts have types of their own; a partition's columns stand in the path."""
    write(tmp_path, "parquet", QUOTES, CHANGES, WIDE)
    found = {}
    for path in tmp_path.rglob("*.parquet"):
        table = pyarrow.parquet.ParquetFile(path).read()
        name = path.relative_to(tmp_path).parts[0].removeprefix("dataset=")
        found[name] = table.schema
        assert path.parent == tmp_path / f"dataset={name}/exchange=coinbase/symbol=BTC-USD/date=2026-11-25"
        assert path.name.startswith("101530-")
    times = [("timestamp", "timestamp[us, tz=UTC]"), ("local_timestamp", "timestamp[us, tz=UTC]")]
    names = {"float": "double", "int": "int64", "bool": "bool", "string": "string", "time": times[0][1]}
    assert set(found) == {"quotes", "incremental_book_L2", "wide_spreads"}
    for name, schema in found.items():
        own = [(column.name, names[column.kind]) for column in dataset(name).columns]
        assert [(field.name, str(field.type)) for field in schema] == times + own


def test_parquet_read_by_others(tmp_path: Path) -> None:
    """pyarrow, DuckDB and polars read the rows, with the partitions as columns."""
    write(tmp_path, "parquet", QUOTES)
    query = f"""select symbol, date::text, epoch_us(local_timestamp),
        ask_amount, ask_price, bid_price, bid_amount
        from read_parquet('{tmp_path}/**/*.parquet', hive_partitioning = true) where exchange = 'coinbase'"""
    expected = [("BTC-USD", "2026-11-25", TIME[1], *values) for values in QUOTES.values]
    assert duckdb.connect().execute(query).fetchall() == expected
    frame = polars.scan_parquet(tmp_path / "dataset=quotes").filter(polars.col("symbol") == "BTC-USD")
    names = [column.name for column in QUOTES.dataset.columns]
    assert [tuple(row) for row in frame.select(names).collect().rows()] == list(QUOTES.values)
    table = pyarrow.dataset.dataset(tmp_path, partitioning="hive").to_table()
    assert table.column("bid_price").to_pylist() == [100.0, 99.0]


def test_csv_columns(tmp_path: Path) -> None:
    """Columns are Tardis', times whole microseconds, None is empty, and no number has an exponent."""
    write(tmp_path, "csv", QUOTES, CHANGES, UNTIMED)
    at = f"coinbase,BTC-USD,{TIME[0]},{TIME[1]},"
    common = ",".join(column.name for column in COMMON)
    assert lines(tmp_path / "coinbase_quotes_2026-11-25_BTC-USD.csv.gz") == [
        f"{common},ask_amount,ask_price,bid_price,bid_amount",
        f"{at}0.5,100.25,100,0.00000001",
        f"{at},,99,2",
    ]
    assert lines(tmp_path / "coinbase_incremental_book_L2_2026-11-25_BTC-USD.csv.gz") == [
        f"{common},is_snapshot,side,price,amount",
        f"{at}true,bid,1,0",
        f"{at}false,ask,2,3",
    ]
    assert lines(tmp_path / "coinbase_status_1970-01-01_BTC-USD.csv.gz") == [
        f"{common},event,reason",
        "coinbase,BTC-USD,,,live,",
    ]


def test_csv_texts(tmp_path: Path) -> None:
    """A text with commas, quotes and line breaks is read back as it was."""
    reason = 'it said "no", then\r\nclosed'
    write(tmp_path, "csv", rows("status", ("closed", reason), times=TIME))
    query = f"select reason from read_csv('{tmp_path}/*.csv.gz')"
    assert duckdb.connect().execute(query).fetchall() == [(reason,)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for many examples."""
    yield tmp_path_factory.mktemp("floats")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
@example([0.1 + 0.2, 1e-8, 5e-324, 1e16, 1.7976931348623157e308, 60152.78, 60000.0, -0.0])
def test_csv_floats(folder: Path, values: list[float]) -> None:
    """A float is written so that it is read back as the very same, in digits alone."""
    one = folder / str(next(numbers))
    write(one, "csv", rows("quotes", *((value, 1.0, 1.0, 1.0) for value in values), times=TIME))
    [name] = files(one)
    texts = [line.split(",")[4] for line in lines(one / name)[1:]]
    assert [float(text) for text in texts] == values
    assert all(set(text) <= set("-0123456789.") and not text.endswith(".0") for text in texts)


def test_csv_of_one_day_grows(tmp_path: Path) -> None:
    """What a later run has of a day follows in the day's file, in order, under the one header."""
    write(tmp_path, "csv", *trades(0, 3))
    write(tmp_path, "csv", *trades(3, 2))
    assert files(tmp_path) == [CSV]
    header, *found = lines(tmp_path / CSV)
    assert header.startswith("exchange,symbol,")
    assert [line.split(",")[4] for line in found] == ["0", "1", "2", "3", "4"]


def test_parquet_of_one_day(tmp_path: Path) -> None:
    """Runs over the same rows write files of their own: none is overwritten."""
    write(tmp_path, "parquet", *trades(0, 3))
    [first] = files(tmp_path)
    content = (tmp_path / first).read_bytes()
    write(tmp_path, "parquet", *trades(0, 3))
    assert len(files(tmp_path)) == 2
    assert (tmp_path / first).read_bytes() == content


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_finished_twice(tmp_path: Path, format: FormatName) -> None:
    """A crash between a file's name and its spool's end writes nothing twice."""
    spool, finisher = unfinished(tmp_path, 0, format)
    finisher.finish(spool, tmp_path)
    [name] = files(tmp_path)
    before = (tmp_path / name).stat()
    finisher.finish(spool, tmp_path)
    assert files(tmp_path) == [name]
    assert (tmp_path / name).stat() == before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (gzip.compress(b"time,price\n1,2\n", mtime=0), "is there with other columns: move it away"),
        (
            gzip.compress(b"exchange,symbol\n", mtime=0)[:14],
            "is there and is no whole gzip file",
        ),
        (b"exchange,symbol", "Not a gzipped file"),
    ],
    ids=["other columns", "truncated", "no gzip"],
)
def test_csv_of_others(tmp_path: Path, content: bytes, why: str) -> None:
    """A file of that name that is not ours stays as it is, and so do the rows in their spool."""
    (tmp_path / CSV).write_bytes(content)
    spool, finisher = unfinished(tmp_path, 0)
    with pytest.raises(OSError, match=why):
        finisher.finish(spool, tmp_path)
    assert (tmp_path / CSV).read_bytes() == content
    assert spools(tmp_path) == [spool.path]


def test_csv_of_two_processes(tmp_path: Path) -> None:
    """While another process replaces a file there, none is replaced, so that no rows of either are lost."""
    spool, finisher = unfinished(tmp_path, 0)
    with open(tmp_path / ".lock", "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="another process writes a file there"):
            finisher.finish(spool, tmp_path)
    finisher.finish(spool, tmp_path)
    assert files(tmp_path) == [CSV]
