"""Spooler: which rows go into which file, and when; what becomes of them where the disk or the run fails."""

import logging
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest
from pytest import LogCaptureFixture as Log

from orderbook.output.formats import FormatName
from orderbook.output.spooler import RETRY_DELAY, Limits
from tests.support.clock import Clock
from tests.support.recordings import limited_files, logged
from tests.support.rows import MIDNIGHT, files, ids, lines, rows, spooler, spools, trades, write

AT_ONCE = Limits(flush_interval=0)


def test_midnight(tmp_path: Path) -> None:
    """Rows of a UTC day of arrival are in its file; it is finished when the next day begins."""
    writer, backlog = spooler(tmp_path, limits=AT_ONCE)
    backlog.add(trades(0, 4, MIDNIGHT - 2_000_000))
    writer.turn()
    writer.turn()
    assert files(tmp_path) == ["coinbase_trades_2026-11-24_BTC-USD.csv.gz"]
    assert ids(tmp_path) == ["0", "1"]
    writer.wind_up(lambda: False)
    assert files(tmp_path)[1:] == ["coinbase_trades_2026-11-25_BTC-USD.csv.gz"]
    assert ids(tmp_path) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("timestamp", "arrival", "day"),
    [
        (MIDNIGHT - 1, MIDNIGHT, "2026-11-25"),
        (MIDNIGHT - 1, None, "2026-11-24"),
        (None, None, "1970-01-01"),
        (None, 10**18, "1970-01-01"),
    ],
)
def test_day(tmp_path: Path, timestamp: int | None, arrival: int | None, day: str) -> None:
    """The day is that of arrival, else of the exchange; without either, or out of all calendars, 1970's."""
    write(tmp_path, "csv", rows("quotes", (1.0, 1.0, 1.0, 1.0), times=(timestamp, arrival)))
    assert files(tmp_path) == [f"coinbase_quotes_{day}_BTC-USD.csv.gz"]


def test_rotation_by_age(tmp_path: Path) -> None:
    """A file is finished when its first rows are an hour old."""
    clock = Clock()
    writer, backlog = spooler(tmp_path, "parquet", clock=clock)
    for at in range(0, 3_601, 60):
        clock.now = at
        backlog.add(trades(at, 1))
        assert files(tmp_path) == []
        writer.turn()
    assert len(files(tmp_path)) == 1
    backlog.add(trades(1, 1))
    writer.wind_up(lambda: False)
    assert len(files(tmp_path)) == 2


def test_rotation_by_size(tmp_path: Path) -> None:
    """A file is finished when its spool is as large as allowed; in the files the rows are in order."""
    writer, backlog = spooler(tmp_path, "parquet", Limits(flush_interval=0, size=5_000))
    for at in range(20):
        backlog.add(trades(at * 100, 1, each=100))
        writer.turn()
        assert all(path.stat().st_size < 5_000 for path in spools(tmp_path))
    assert len(files(tmp_path)) > 5
    writer.wind_up(lambda: False)
    names = sorted(tmp_path.rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    tables = [pyarrow.parquet.ParquetFile(path).read() for path in names]
    found = [int(number) for table in tables for number in table.column("id").to_pylist()]
    assert found == list(range(2_000))


def test_flushes(tmp_path: Path) -> None:
    """Rows are in a spool half a minute after the first of them came, those of other products not before."""
    clock = Clock()
    writer, backlog = spooler(tmp_path, clock=clock)
    backlog.add(trades(0, 2))
    clock.now = 29.9
    backlog.add(trades(2, 1, symbol="ETH-USD"))
    writer.turn()
    assert spools(tmp_path) == []
    clock.now = 30
    writer.turn()
    assert len(spools(tmp_path)) == 1
    assert (writer.rows, len(backlog)) == ({"trades": 2}, 1)


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_crashed_run(tmp_path: Path, caplog: Log, format: FormatName) -> None:
    """What a crashed run had flushed becomes files in the next run with the folder, and nothing is left."""
    caplog.set_level(logging.INFO)
    crashed, backlog = spooler(tmp_path, format, AT_ONCE)
    backlog.add([*trades(0, 2), *trades(2, 2, symbol="ETH-USD")])
    crashed.turn()
    crashed.close()  # as the kernel does: it only unlocks
    assert files(tmp_path) == []
    write(tmp_path, format)
    assert len(files(tmp_path)) == 2
    assert list(tmp_path.glob(f".{format}-*")) == []
    assert logged(caplog) == [("INFO", "2 files are finished that an earlier run has left behind")]


def test_living_process(tmp_path: Path) -> None:
    """The spools of a run that goes on are left to it by another one with the same folder."""
    living, backlog = spooler(tmp_path, limits=AT_ONCE)
    backlog.add(trades(0, 2))
    living.turn()
    write(tmp_path, "csv", *trades(2, 2))
    assert ids(tmp_path) == ["2", "3"]
    assert len(spools(tmp_path)) == 1
    living.wind_up(lambda: False)
    assert ids(tmp_path) == ["2", "3", "0", "1"]


def test_full_disk(tmp_path: Path, caplog: Log) -> None:
    """A disk that takes no spool is logged once, and when that is over; no row is lost, and order is kept."""
    caplog.set_level(logging.INFO)
    clock = Clock()
    writer, backlog = spooler(tmp_path, limits=AT_ONCE, clock=clock)
    backlog.add(trades(0, 10))
    writer.turn()
    with limited_files(spools(tmp_path)[0].stat().st_size + 10):
        for at in range(1, 5):
            backlog.add([*trades(at * 10, 10), *trades(100 + at * 10, 10, symbol="ETH-USD")])
            writer.turn()
            clock.now += RETRY_DELAY
    assert writer.rows == {"trades": 10}
    writer.wind_up(lambda: False)
    assert (writer.rows, backlog.dropped) == ({"trades": 90}, {})
    assert ids(tmp_path) == [str(number) for number in (*range(50), *range(110, 150))]
    assert logged(caplog) == [
        ("ERROR", f"{tmp_path}: rows can't be written, and wait: File too large"),
        ("INFO", f"{tmp_path}: rows are written again after 12.0 s, 0 were dropped"),
    ]


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_disk_without_room_for_the_file(tmp_path: Path, caplog: Log, format: FormatName) -> None:
    """A file that finds no room has no final name; its spool is kept, and finished when there is room."""
    clock = Clock()
    writer, backlog = spooler(tmp_path, format, AT_ONCE, clock)
    backlog.add(trades(0, 100))
    writer.turn()
    with limited_files(100):
        assert not writer.wind_up(lambda: False)
        assert files(tmp_path) == []
        assert not list(tmp_path.rglob("*.tmp"))
    assert writer.wind_up(lambda: False)
    assert len(files(tmp_path)) == 1
    assert logged(caplog) == [("ERROR", f"{tmp_path}: rows can't be written, and wait: File too large")]


def test_file_that_can_never_be(tmp_path: Path) -> None:
    """One product's file that can't be finished keeps no other from being so."""
    clock = Clock()
    (tmp_path / "coinbase_trades_2026-11-25_BTC-USD.csv.gz").write_bytes(b"not ours")
    writer, backlog = spooler(tmp_path, limits=Limits(flush_interval=0, age=0), clock=clock)
    backlog.add([*trades(0, 2), *trades(2, 2, symbol="ETH-USD")])
    for _ in range(3):
        writer.turn()
        clock.now += RETRY_DELAY
    assert writer.unfinished == 1
    assert [line.split(",")[4] for line in lines(tmp_path / files(tmp_path)[1])[1:]] == ["2", "3"]


def test_folder_that_is_removed(tmp_path: Path, caplog: Log) -> None:
    """A folder that somebody removes is made again: what comes is written, and what is gone is logged."""
    folder = tmp_path / "data"
    clock = Clock()
    writer, backlog = spooler(folder, limits=AT_ONCE, clock=clock)
    backlog.add(trades(0, 2))
    writer.turn()
    shutil.rmtree(folder)
    backlog.add(trades(2, 2))
    writer.turn()
    assert writer.wind_up(lambda: False)
    assert ids(folder) == ["2", "3"]
    assert logged(caplog) == [("ERROR", f"{folder}: somebody has removed it, with 1 unfinished files")]


def test_spool_that_is_removed(tmp_path: Path, caplog: Log) -> None:
    """A spool that somebody removes is begun anew, with all rows that came since."""
    clock = Clock()
    writer, backlog = spooler(tmp_path, limits=AT_ONCE, clock=clock)
    backlog.add(trades(0, 2))
    writer.turn()
    spools(tmp_path)[0].unlink()
    backlog.add(trades(2, 2))
    writer.turn()
    clock.now += RETRY_DELAY
    writer.turn()
    writer.wind_up(lambda: False)
    assert ids(tmp_path) == ["2", "3"]
