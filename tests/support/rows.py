"""Rows of datasets as tests give them to an output, and the files that have become of them."""

import gzip
import time
from collections.abc import Callable
from pathlib import Path

from orderbook.output.datasets import Rows, Value, dataset
from orderbook.output.formats import FormatName, format_of
from orderbook.output.row_backlog import RowBacklog
from orderbook.output.spooler import Limits, Spooler
from orderbook.shutdown import Shutdown

MIDNIGHT = 1_795_564_800_000_000  # 2026-11-25, in microseconds since 1970


def trades(
    first: int, count: int, arrival: int | None = MIDNIGHT, symbol: str = "BTC-USD", each: int = 1
) -> list[Rows]:
    """Items of `each` trades with consecutive ids; the items come a second apart."""
    return [
        Rows(
            dataset("trades"),
            symbol,
            None if arrival is None else arrival + at * 1_000_000 - 1_000,
            None if arrival is None else arrival + at * 1_000_000,
            [(str(first + at * each + i), "buy", 100.0 + at, 0.5) for i in range(each)],
        )
        for at in range(count)
    ]


def rows(name: str, *values: tuple[Value, ...], times: tuple[int | None, int | None] = (1, 2)) -> Rows:
    """An item of a dataset."""
    return Rows(dataset(name), "BTC-USD", *times, values)


def spooler(
    folder: Path,
    format: FormatName = "csv",
    limits: Limits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Spooler, RowBacklog]:
    """What writes files below the folder, turn by turn, and the backlog that it writes."""
    limits = limits or Limits()
    backlog = RowBacklog(limits.memory, False, Shutdown(), clock)
    return Spooler(folder, format_of(format), backlog, limits, clock), backlog


def write(folder: Path, format: FormatName, *items: Rows) -> None:
    """Write files of these rows, as a run does from its begin to its end."""
    writer, backlog = spooler(folder, format)
    writer.take_over()
    backlog.add(items)
    assert writer.wind_up(lambda: False)
    writer.close()


def files(folder: Path) -> list[str]:
    """The files that a reader sees."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in paths if not path.parts[0].startswith("."))


def spools(folder: Path) -> list[Path]:
    """The spools that are not finished."""
    return sorted(folder.glob(".*/*.rows"))


def lines(path: Path) -> list[str]:
    """The lines of a CSV file, its header first."""
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def ids(folder: Path) -> list[str]:
    """The ids of all trades in CSV files, file by file."""
    return [line.split(",")[4] for path in sorted(folder.glob("*.csv.gz")) for line in lines(path)[1:]]
