"""Formats of the files that readers see: Parquet in hive partitions, and Tardis' CSV.

A file is written under a hidden name, and renamed when it is whole and on the disk. Whatever ends the
process on the way, a spool can be finished again: what is in a final file already is not written twice.
"""

import fcntl
import gzip
import importlib
import mmap
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

from orderbook.output.datasets import COMMON, EXCHANGE, Column, Kind, Value
from orderbook.output.spool import Content, Spool

FormatName = Literal["parquet", "csv"]

Columns = list[tuple[Column, list[Value]]]

PYARROW = "pyarrow==26.0.1"
LOCK_TIMEOUT = 2.0  # seconds for another process to write its file
GZIP_LEVEL = 4  # half the time of 6, a twentieth larger


class Format(Protocol):
    """A kind of file: how spools become such files."""

    name: FormatName

    def finish(self, spool: Spool, folder: Path) -> None:
        """Bring a spool's rows into a file below the folder, whole or not at all; raises `OSError`."""


def format_of(name: FormatName) -> Format:
    """The format of this name; `SystemExit` where a package is missing that it needs."""
    return Parquet() if name == "parquet" else Csv()


class Parquet:
    """`dataset=…/exchange=…/symbol=…/date=…/<name>.parquet`, without the columns that its path has."""

    name: FormatName = "parquet"

    def __init__(self) -> None:
        try:
            self._arrow = importlib.import_module("pyarrow")
            self._parquet = importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise SystemExit(
                f"Parquet files need a package that is not here: pip install {PYARROW}"
            ) from None
        arrow = self._arrow
        self._types = {
            "float": arrow.float64(),
            "int": arrow.int64(),
            "bool": arrow.bool_(),
            "string": arrow.string(),
            "time": arrow.timestamp("us", tz="UTC"),
        }

    def finish(self, spool: Spool, folder: Path) -> None:
        """Write a file of its own; where it is there already, nothing."""
        content = spool.content
        partitions = {"dataset": content.dataset, "exchange": EXCHANGE, "symbol": content.symbol}
        path = folder.joinpath(*(f"{key}={value}" for key, value in partitions.items()))
        final = path / f"date={content.date}" / f"{content.name}.parquet"
        if final.exists():
            return
        batches = [self._batch(columns) for columns in _columns(spool)]
        if not batches:
            return
        with _replacing(final, spool) as temporary:
            table = self._arrow.Table.from_batches(batches)
            # A dictionary of prices and sizes takes more than it saves: a quarter of the real feed's rows.
            texts = [column.name for column in content.columns if column.kind == "string"]
            self._parquet.write_table(table, temporary, compression="zstd", use_dictionary=texts or False)

    def _batch(self, columns: Columns) -> object:
        arrays = {
            column.name: self._arrow.array(values, self._types[column.kind])
            for column, values in columns
            if column.name not in ("exchange", "symbol")
        }
        return self._arrow.RecordBatch.from_pydict(arrays)


class Csv:
    """`coinbase_<dataset>_<date>_<symbol>.csv.gz`, one a day and product: later rows follow in a gzip member
    of their own, which bears the spool's name.
    """

    name: FormatName = "csv"

    def finish(self, spool: Spool, folder: Path) -> None:
        """Append to a hidden copy of the file; where the rows are in it already, nothing.

        Raises `OSError` also where another process appends to a file there, or the file has other columns.
        """
        content = spool.content
        header = ",".join(column.name for column in (*COMMON, *content.columns)).encode() + b"\n"
        final = folder / f"{EXCHANGE}_{content.dataset}_{content.date}_{content.symbol}.csv.gz"
        with _alone(folder):
            exists = final.exists() and final.stat().st_size > 0
            if exists and _has_member(final, content):
                return
            if exists and _first_line(final) != header:
                raise FileExistsError(f"{final.name} is there with other columns: move it away")
            with _replacing(final, spool) as temporary:
                if exists:
                    shutil.copyfile(final, temporary)
                with (
                    open(temporary, "ab") as file,
                    gzip.GzipFile(content.name, "wb", GZIP_LEVEL, file, mtime=0) as member,
                ):
                    member.write(b"" if exists else header)
                    for columns in _columns(spool):
                        member.write(_csv(columns).encode())


def _columns(spool: Spool) -> Iterator[Columns]:
    """A spool's rows, some at a time, as columns."""
    symbol = spool.content.symbol
    columns = (*COMMON, *spool.content.columns)
    for items in spool.frames():
        timestamps: list[Value] = [timestamp for timestamp, _, values in items for _ in values]
        arrivals: list[Value] = [arrival for _, arrival, values in items for _ in values]
        common: Sequence[list[Value]] = (
            [EXCHANGE] * len(arrivals),
            [symbol] * len(arrivals),
            timestamps,
            arrivals,
        )
        own = map(list, zip(*(row for _, _, values in items for row in values), strict=True))
        if arrivals:
            yield list(zip(columns, (*common, *own), strict=True))


def _csv(columns: Columns) -> str:
    texts = (map(_TEXT[column.kind], values) for column, values in columns)
    return "".join(f"{line}\n" for line in map(",".join, zip(*texts, strict=True)))


@lru_cache(2**16)  # prices and sizes recur
def _decimal(value: Value) -> str:
    """A float in the fewest digits that give it back, as an exchange writes it: `60000`, `0.00000001`."""
    if value is None:
        return ""
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def _whole(value: Value) -> str:
    return "" if value is None else str(value)


def _bool(value: Value) -> str:
    return "true" if value else "false"


@lru_cache(2**10)
def _quoted(value: Value) -> str:
    text = _whole(value)
    return '"' + text.replace('"', '""') + '"' if re.search('[",\r\n]', text) else text


_TEXT: dict[Kind, Callable[[Value], str]] = {
    "float": _decimal,
    "int": _whole,
    "bool": _bool,
    "string": _quoted,
    "time": _whole,
}


@contextmanager
def _replacing(final: Path, spool: Spool) -> Iterator[Path]:
    """A hidden path to write to; what was written is then brought to the disk, and takes the final name."""
    temporary = spool.path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        file = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
        os.makedirs(final.parent, exist_ok=True)
        os.rename(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from replacing a file of this folder; raises `OSError` where one does so now."""
    deadline = time.monotonic() + LOCK_TIMEOUT
    with open(folder / ".lock", "ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BlockingIOError("another process writes a file there") from None
                time.sleep(0.01)
        yield


def _has_member(path: Path, content: Content) -> bool:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as contents:
        return contents.find(content.name.encode() + b"\0") >= 0


def _first_line(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.readline()
    except (EOFError, zlib.error):
        raise OSError(f"{path.name} is there and is no whole gzip file: move it away") from None
