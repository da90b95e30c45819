"""Datasets of the real capture as a user gets them: files that other tools read as they are."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars
import pytest

from tests.support import naive_rows
from tests.support.processes import run

DATASETS = ("quotes", "trades", "book_snapshot_25_1s", "incremental_book_L2", "signals_1s", "status")
PRODUCTS = ("BTC-USD", "ETH-USD")
DAY = "2026-07-07"
THRESHOLD = "0.00001"
NO_FILE = b"no file of any format"

Counts = dict[tuple[str, str], int]  # rows by dataset and product

TIMES = {"timestamp": "TIMESTAMP WITH TIME ZONE", "local_timestamp": "TIMESTAMP WITH TIME ZONE"}
PARTITIONS = {"dataset": "VARCHAR", "date": "DATE", "exchange": "VARCHAR", "symbol": "VARCHAR"}
LEVELS = [
    f"{side}[{level}].{what}"
    for level in range(25)
    for side in ("asks", "bids")
    for what in ("price", "amount")
]
SIGNALS = [
    *("mid", "spread", "spread_bps", "weighted_mid", "imbalance_1", "imbalance_5", "imbalance_25"),
    *(f"{side}_depth_{bps}bps" for bps in (10, 50, 100) for side in ("bid", "ask")),
    *(f"{side}_slippage_bps_{amount}" for amount in (10_000, 100_000) for side in ("buy", "sell")),
    "ofi",
]
OWN_TYPES: dict[str, dict[str, str]] = {
    "quotes": dict.fromkeys(["ask_amount", "ask_price", "bid_price", "bid_amount"], "DOUBLE"),
    "trades": {"id": "VARCHAR", "side": "VARCHAR", "price": "DOUBLE", "amount": "DOUBLE"},
    "book_snapshot_25_1s": dict.fromkeys(LEVELS, "DOUBLE"),
    "incremental_book_L2": {
        "is_snapshot": "BOOLEAN",
        "side": "VARCHAR",
        "price": "DOUBLE",
        "amount": "DOUBLE",
    },
    "signals_1s": dict.fromkeys(SIGNALS, "DOUBLE"),
    "status": {"event": "VARCHAR", "reason": "VARCHAR"},
}
POLARS_TYPES = {
    "TIMESTAMP WITH TIME ZONE": polars.Datetime("us", "UTC"),
    "DOUBLE": polars.Float64(),
    "BOOLEAN": polars.Boolean(),
    "VARCHAR": polars.String(),
    "DATE": polars.Date(),
}
# What hftbacktest 2.4.4 demands of Tardis' files, in hftbacktest/data/utils/tardis.py: the names of
# `trade_schema` and `depth_schema`, compared with the header as whole lists.
TARDIS = {
    "trades": ["exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount"],
    "incremental_book_L2": [
        *("exchange", "symbol", "timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount"),
    ],
}


def export(capture: Path, folder: Path, format: str) -> Path:
    """A folder with the capture's datasets, as a user exports them."""
    env = {
        "ORDERBOOK_DATA": str(folder),
        "ORDERBOOK_DATA_FORMAT": format,
        "ORDERBOOK_DATASETS": ",".join(DATASETS),
        "ORDERBOOK_MIN_SPREAD": THRESHOLD,
    }
    finished = run([f"dataflow:replay({str(capture)!r})"], env)
    assert finished.code == 0, finished.stderr
    return folder


@pytest.fixture(scope="module")
def parquet(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as Parquet."""
    return export(capture, tmp_path_factory.mktemp("parquet"), "parquet")


@pytest.fixture(scope="module")
def csv(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as CSV."""
    return export(capture, tmp_path_factory.mktemp("csv"), "csv")


@pytest.fixture(scope="module")
def naive(capture: Path) -> Counts:
    """How many rows a naive computation has of the capture."""
    counts = {}
    frames = capture.read_bytes().splitlines()
    for product in PRODUCTS:
        lines = [frame for frame in frames if json.loads(frame).get("product_id") == product]
        for name, rows in naive_rows.rows(lines, DATASETS, THRESHOLD).items():
            counts[name, product] = len(rows)
    assert min(counts.values()) > 0
    return counts


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def of(folder: Path, dataset: str) -> str:
    """The relation of DuckDB that a dataset of a folder is."""
    return f"read_parquet('{folder}/dataset={dataset}/**/*.parquet', hive_partitioning = true)"


@pytest.mark.parametrize("dataset", DATASETS)
def test_duckdb_reads_parquet(
    connection: duckdb.DuckDBPyConnection, parquet: Path, naive: Counts, dataset: str
) -> None:
    """DuckDB has the documented types, partitions among them, and as many rows as a naive computation."""
    found = connection.sql(f"from {of(parquet, dataset)}")
    types = dict(zip(found.columns, map(str, found.types), strict=True))
    assert types == TIMES | OWN_TYPES[dataset] | PARTITIONS
    counted = connection.sql(
        f"select symbol, count(*) from {of(parquet, dataset)} group by symbol"
    ).fetchall()
    assert dict(counted) == {product: naive[dataset, product] for product in PRODUCTS}


@pytest.mark.parametrize("dataset", DATASETS)
def test_polars_reads_parquet(parquet: Path, naive: Counts, dataset: str) -> None:
    """polars has the documented types, partitions among them, and as many rows as a naive computation."""
    scan = polars.scan_parquet(parquet / f"dataset={dataset}")
    wanted = {name: POLARS_TYPES[kind] for name, kind in (TIMES | OWN_TYPES[dataset] | PARTITIONS).items()}
    del wanted["dataset"]  # its folder is the one that is read
    assert dict(scan.collect_schema()) == wanted
    counted = scan.group_by("symbol").len().collect().rows()
    assert dict(counted) == {product: naive[dataset, product] for product in PRODUCTS}


@pytest.fixture(scope="module")
def with_traps(parquet: Path, naive: Counts) -> Path:
    """The folder, where quotes of another product and day are files that no reader can open."""
    for partition in ("symbol=ZZZ-USD/date=2026-07-07", "symbol=BTC-USD/date=2026-07-08"):
        place = parquet / "dataset=quotes/exchange=coinbase" / partition
        place.mkdir(parents=True)
        (place / "235959-0.parquet").write_bytes(NO_FILE)
    return parquet


def test_duckdb_prunes_by_partition(
    connection: duckdb.DuckDBPyConnection, with_traps: Path, naive: Counts
) -> None:
    """DuckDB opens the files of the product and day that are asked for alone."""
    query = f"select bid_price from {of(with_traps, 'quotes')} where symbol = 'BTC-USD'"
    found = connection.sql(f"{query} and date = '{DAY}'").fetchall()
    assert len(found) == naive["quotes", "BTC-USD"]
    with pytest.raises(duckdb.InvalidInputException):
        connection.sql(query).fetchall()


def test_polars_prunes_by_partition(with_traps: Path, naive: Counts) -> None:
    """polars opens the files of the product and day that are asked for alone."""
    scan = polars.scan_parquet(with_traps / "dataset=quotes").filter(polars.col("symbol") == "BTC-USD")
    day = polars.col("date") == polars.lit(DAY).str.to_date()
    assert scan.filter(day).select("bid_price").collect().height == naive["quotes", "BTC-USD"]
    with pytest.raises(polars.exceptions.ComputeError):
        scan.select("bid_price").collect()


@pytest.mark.parametrize("dataset", DATASETS)
def test_csv(connection: duckdb.DuckDBPyConnection, csv: Path, naive: Counts, dataset: str) -> None:
    """DuckDB and polars read the documented columns, times as whole numbers, and as many rows."""
    columns = [*("exchange", "symbol"), *TIMES, *OWN_TYPES[dataset]]
    for product in PRODUCTS:
        path = csv / f"coinbase_{dataset}_{DAY}_{product}.csv.gz"
        frame = polars.read_csv(path, infer_schema_length=None)
        assert (frame.columns, frame.height) == (columns, naive[dataset, product])
        assert all(frame[name].dtype == polars.Int64() for name in TIMES)
        found = connection.sql(f"from read_csv('{path}')")
        assert found.columns == columns and len(found) == naive[dataset, product]
        assert list(map(str, found.types[2:4])) == ["BIGINT", "BIGINT"]


@pytest.mark.parametrize("dataset", TARDIS)
def test_csv_columns_are_those_of_tardis(csv: Path, dataset: str) -> None:
    """The header is the list of columns that hftbacktest's converter of Tardis' files demands."""
    with gzip.open(csv / f"coinbase_{dataset}_{DAY}_BTC-USD.csv.gz", "rt") as file:
        assert file.readline().rstrip("\n").split(",") == TARDIS[dataset]
