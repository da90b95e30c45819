"""Live runs whose folder for datasets goes away or is full, and runs that end while they write into it."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from orderbook.output.spool import Spool
from tests.exchange import Exchange
from tests.support.live import PAIR, await_lines, end, expected, settings
from tests.support.processes import Finished, Running, run, start
from tests.support.rows import spools
from tests.support.waiting import DEADLINE, wait_until

# Rows so large that they are flushed each second, not each half minute.
DATASETS = "quotes,trades,book_snapshot_1000_1ms"
FORMATS = pytest.mark.parametrize("format", ["parquet", "csv"])
READ = {"parquet": "read_parquet('{}/dataset=quotes/**/*.parquet')", "csv": "read_csv('{}/*_quotes_*.gz')"}


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(PAIR, rate=30, levels=1_000) as exchange:
        yield exchange


def output(folder: Path, format: str = "parquet") -> dict[str, str]:
    """The settings of a run that writes its datasets into a folder."""
    return {
        "ORDERBOOK_DATA": str(folder),
        "ORDERBOOK_DATA_FORMAT": format,
        "ORDERBOOK_DATASETS": DATASETS,
    }


def quotes(folder: Path, format: str = "parquet") -> int:
    """How many quotes the files of a folder have; raises where one is not whole, of whatever dataset."""
    with duckdb.connect() as connection:
        if format == "parquet":
            for path in folder.rglob("*.parquet"):
                connection.sql(f"from read_parquet('{path}')").fetchall()
        for path in folder.glob("*.csv.gz"):
            subprocess.run(["gzip", "-t", path], check=True, timeout=DEADLINE)
        return len(connection.sql(f"from {READ[format].format(folder)}"))


def replayed(record: Path, folder: Path, format: str = "parquet") -> int:
    """How many quotes there must be, by the run's own recording."""
    finished = run([f"dataflow:replay({str(record)!r})"], output(folder, format))
    assert finished.code == 0, finished.stderr
    return quotes(folder, format)


def finish(exchange: Exchange, process: Running) -> Finished:
    """End a run by SIGTERM; its lines must be all that the exchange called for, and in order."""
    exchange.pause()
    wanted = expected(exchange)
    await_lines(process.stdout, wanted)
    (finished,) = end(process, number=signal.SIGTERM)
    assert finished.by_product == wanted
    return finished


def errors(finished: Finished) -> list[str]:
    """What was logged beyond INFO."""
    return re.findall("(?:WARNING|ERROR) (.*)", finished.stderr)


def hidden(folder: Path) -> list[str]:
    """What lies in a folder that readers don't see, save the lock of its CSV files."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".") and path.name != ".lock"]


@FORMATS
def test_sigterm(exchange: Exchange, tmp_path: Path, format: str) -> None:
    """A signal in the middle of a run leaves files that are whole, with all rows, and nothing hidden."""
    folder, record = tmp_path / "data", tmp_path / "record"
    env = settings(exchange, RECORD=str(record)) | output(folder, format)
    with start(["dataflow:flow"], env) as process:
        wait_until(lambda: spools(folder))
        assert errors(finish(exchange, process)) == []
    assert hidden(folder) == []
    assert quotes(folder, format) == replayed(record, tmp_path / "replayed", format)


@FORMATS
def test_killed_run(exchange: Exchange, tmp_path: Path, format: str) -> None:
    """What a killed run had flushed has no final name until the next run into the folder finishes it."""
    folder = tmp_path / "data"
    env = settings(exchange) | output(folder, format)
    with start(["dataflow:flow"], env) as process:
        wait_until(lambda: any(map(Spool.open, spools(folder))))
        process.interrupt(signal.SIGKILL)
        process.wait()
    left = sum(Spool.open(path) is not None for path in spools(folder))  # one may have been begun just now
    assert hidden(folder) and not list(folder.rglob("*.parquet")) and not list(folder.glob("*.csv.gz"))
    with start(["dataflow:flow"], env) as process:
        process.stderr.wait_for(f"{left} files are finished that an earlier run has left behind")
        process.stdout.wait_for(f"('{PAIR[0]}'")  # so there is a quote
        (finished,) = end(process, number=signal.SIGTERM)
    torn = re.compile("removed, it ends before its first row|the last .* bytes are left out, not whole")
    assert all(map(torn.search, errors(finished)))
    assert hidden(folder) == []
    assert quotes(folder, format) > 0


def test_folder_that_is_removed(exchange: Exchange, tmp_path: Path) -> None:
    """It is made again, and what was in it is logged once; lines and what comes then are unharmed."""
    folder = tmp_path / "data"
    with start(["dataflow:flow"], settings(exchange) | output(folder)) as process:
        wait_until(lambda: spools(folder))
        shutil.rmtree(folder.rename(tmp_path / "removed"))
        process.stderr.wait_for("somebody has removed it")
        wait_until(lambda: spools(folder))
        finished = finish(exchange, process)
    removed = f"{folder}: somebody has removed it, with "
    [error] = [error for error in errors(finished) if error.startswith(removed)]
    assert re.fullmatch(r"[1-9]\d* unfinished files", error.removeprefix(removed))
    # In the middle of a write it is not there, and rows wait for the next attempt.
    others = {f"{folder}: rows can't be written, and wait: No such file or directory"}
    assert set(errors(finished)) <= {error} | others
    assert hidden(folder) == []
    assert quotes(folder) > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tests", str(folder)]
    try:
        ended = subprocess.run(command, capture_output=True, timeout=DEADLINE)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if ended.returncode:
        pytest.skip(f"no disk can be mounted: {ended.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=DEADLINE)


def test_full_disk(exchange: Exchange, small_disk: Path, tmp_path: Path) -> None:
    """The log says that a disk is full, and that it is so no more; rows wait for it, and none is lost."""
    folder, record = small_disk / "data", tmp_path / "record"
    env = settings(exchange, RECORD=str(record)) | output(folder)
    with start(["dataflow:flow"], env) as process:
        process.stderr.wait_for("rows can't be written, and wait: No space left on device")
        larger = ["mount", "-o", "remount,size=256m", str(small_disk)]
        subprocess.run(larger, check=True, timeout=DEADLINE)
        over = process.stderr.wait_for("rows are written again after")
        finished = finish(exchange, process)
    assert over.endswith(" s, 0 were dropped")
    assert errors(finished) == [f"{folder}: rows can't be written, and wait: No space left on device"]
    assert hidden(folder) == []
    assert quotes(folder) == replayed(record, tmp_path / "replayed")
