"""Files of datasets as a user gets them: of a live run with faults, and of the replay of its recording."""

import csv
import gzip
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow.parquet as pq
import pytest

from tests.exchange import Exchange
from tests.support.live import all_live, all_sent, end, settings
from tests.support.processes import Finished, run, start

DATASETS = (
    "quotes",
    "trades",
    "book_snapshot_5_100ms",
    "incremental_book_L2",
    "signals_100ms",
    "wide_spreads",
    "status",
)
FAULTS = {
    "AAA-USD": "closed_1006",
    "BBB-USD": "not_json",
    "CCC-USD": "update_lost",
    "DDD-USD": "time_year_one",
    "EEE-USD": "trade_lost",
    "FFF-USD": "unsubscribed_in_mid_stream",
}
CALM = ("BTC-EUR", "ETH-EUR")  # these see renewals, and nothing else
OUTPUT = {"ORDERBOOK_DATASETS": ",".join(DATASETS), "ORDERBOOK_MIN_SPREAD": "0.0005"}

Row = dict[str, Any]
Tables = dict[tuple[str, str], list[Row]]  # by dataset and product


def parquet_rows(folder: Path) -> Tables:
    """The rows of Parquet files, in the order of their names."""
    tables: Tables = {}
    for path in sorted(folder.glob("dataset=*/exchange=coinbase/symbol=*/date=*/*.parquet")):
        dataset, _, symbol, _ = (part.partition("=")[2] for part in path.parts[-5:-1])
        tables.setdefault((dataset, symbol), []).extend(pq.ParquetFile(path).read().to_pylist())
    return tables


def csv_rows(folder: Path) -> Tables:
    """The rows of CSV files, as text."""
    tables: Tables = {}
    for path in sorted(folder.glob("coinbase_*.csv.gz")):
        dataset, _date, symbol = path.name.removesuffix(".csv.gz").removeprefix("coinbase_").rsplit("_", 2)
        with gzip.open(path, "rt", newline="") as file:
            tables.setdefault((dataset, symbol), []).extend(csv.DictReader(file))
    return tables


READERS = {"parquet": parquet_rows, "csv": csv_rows}


class Seen(NamedTuple):
    """A live run that is over, and the replay of its recording."""

    exchange: Exchange
    live: Finished
    replayed: Finished
    live_rows: Tables
    replayed_rows: Tables


@pytest.fixture(scope="module", params=[("parquet", "1"), ("csv", "2")], ids=lambda param: "-".join(param))
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """The run in which all of it happened, into files of a format, with so many workers."""
    format, workers = request.param
    folder = tmp_path_factory.mktemp("data")
    output = OUTPUT | {"ORDERBOOK_DATA_FORMAT": format}
    with Exchange([*FAULTS, *CALM], rate=60, levels=60, tls=True) as exchange:
        env = settings(exchange, RECORD=str(folder / "record"), CROSSED_AFTER="0.5", REFRESH="4") | output
        env["ORDERBOOK_DATA"] = str(folder / "live")
        with start(["dataflow:flow", "-w", workers], env) as process:
            exchange.wait(lambda: all_live(exchange), 30)
            for product, fault in FAULTS.items():
                exchange.fault(fault, product)
            exchange.wait(lambda: len(exchange.struck) == len(FAULTS), 30)
            exchange.wait(lambda: all(renewed(exchange, product) for product in CALM), 30)
            exchange.wait(lambda: all_live(exchange) and all_sent(exchange, 600), 60)
            (live,) = end(process)
    env = output | {"ORDERBOOK_DATA": str(folder / "replayed")}
    replayed = run([f"dataflow:replay({str(folder / 'record')!r})", "-w", workers], env)
    read = READERS[format]
    yield Seen(exchange, live, replayed, read(folder / "live"), read(folder / "replayed"))


def renewed(exchange: Exchange, product: str) -> bool:
    """Whether a product has had a second connection, that is the only one now."""
    connections = [connection for connection in exchange.connections if product in connection.products]
    return len(connections) > 1 and len(exchange.live(product)) == 1


def test_replay_gives_the_rows_of_the_live_run(seen: Seen) -> None:
    """Whatever happened, a replay of the recording writes the live run's rows, in their order.

    It prints its lines too.
    """
    assert seen.replayed.code == 0, seen.replayed.stderr
    assert seen.replayed.by_product == seen.live.by_product
    assert {dataset for dataset, _ in seen.live_rows} == set(DATASETS)
    assert seen.replayed_rows.keys() == seen.live_rows.keys()
    for key, rows in seen.live_rows.items():
        assert seen.replayed_rows[key] == rows, key


def test_trades(seen: Seen) -> None:
    """Each trade of which the exchange sent word is a row, once and in order, with the taker's side."""
    for product in seen.exchange.products:
        rows = [
            (int(row["id"]), row["side"], float(row["price"]), float(row["amount"]))
            for row in seen.live_rows["trades", product]
        ]
        happened = {trade.id: trade for trade in seen.exchange.trades(product)}
        taker = {"buy": "sell", "sell": "buy"}
        assert rows == [
            (number, taker[happened[number].side], happened[number].price, happened[number].size)
            for number in sorted(number for number, *_ in rows)
        ]
        numbers = [number for number, *_ in rows]
        assert len(set(numbers)) == len(numbers)
        if product in CALM:
            sent = [
                msgspec.json.decode(s.frame) for s in seen.exchange.sent[product] if b'"match"' in s.frame
            ]
            wanted = sorted({frame["trade_id"] for frame in sent})
            assert numbers == wanted[: len(numbers)]
            assert len(wanted) - len(numbers) < 20, "those on their way when it ended"


@pytest.mark.parametrize("product", (*FAULTS, *CALM))
def test_nothing_of_a_book_that_is_not_live(seen: Seen, product: str) -> None:
    """By the times of arrival, no row of a book lies between a state other than `live` and the next `live`.

    Changes of a crossed book do, for those who keep one themselves.
    """
    states = seen.live_rows["status", product]
    times = [state["local_timestamp"] for state in states]
    for (dataset, symbol), rows in seen.live_rows.items():
        if symbol != product or dataset in ("status", "trades", "wide_spreads"):
            continue
        may_be = {"live", "crossed"} if dataset == "incremental_book_L2" else {"live"}
        for row in rows:
            place = bisect_right(times, row["local_timestamp"])
            assert place and states[place - 1]["event"] in may_be, (dataset, row)


def test_states(seen: Seen) -> None:
    """Each trouble is in the data; a renewal, and what is odd but right, is none."""
    events = {
        key[1]: {row["event"] for row in rows} for key, rows in seen.live_rows.items() if key[0] == "status"
    }
    assert events.pop("CCC-USD") >= {"live", "crossed"}  # a renewal may come before the resync
    assert events == {
        "AAA-USD": {"live", "closed"},
        "BBB-USD": {"live", "resync"},
        "DDD-USD": {"live"},
        "EEE-USD": {"live"},
        "FFF-USD": {"live", "closed"},
        **{product: {"live"} for product in CALM},
    }
