"""Kafka as an output, against a broker that is killed, hangs, or refuses."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from orderbook.output.datasets import Rows, dataset
from orderbook.output.kafka import KafkaSink
from orderbook.output.publisher import CLOSE_TIMEOUT, MESSAGES, Publisher
from orderbook.shutdown import Shutdown
from tests.support.broker import Broker, Received
from tests.support.processes import ROOT
from tests.support.waiting import DEADLINE, wait_until

DATASETS = ("quotes", "trades", "incremental_book_L2")
SYMBOLS = ("BTC-USD", "ETH-USD", "BTC-EUR")


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


def quotes(first: int, last: int, symbol: str = "BTC-USD") -> list[Rows]:
    """Rows of quotes whose bid is their number."""
    quote = dataset("quotes")
    return [Rows(quote, symbol, n, n, [(1.0, 2.0, float(n), 4.0)]) for n in range(first, last)]


def numbers(received: list[Received]) -> list[float]:
    """The numbers of the quotes."""
    return [message.row["bid_price"] for message in received]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of the output, in order."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("orderbook")]


@pytest.mark.parametrize("waits", [True, False], ids=["replay", "live"])
def test_every_row(broker: Broker, caplog: pytest.LogCaptureFixture, waits: bool) -> None:
    """A consumer group gets each row of all workers once, those of a symbol in order, keyed by it."""
    broker.start()
    sink = KafkaSink(broker.servers, Shutdown(), waits=waits)
    partitions = [sink.build("kafka", worker, len(SYMBOLS)) for worker in range(len(SYMBOLS))]

    def work(worker: int) -> None:
        for n in range(300):
            name = DATASETS[n % 3]
            row = ("1", "buy", float(n), 0.1) if name == "trades" else (float(n), 1.0, 2.0, 3.0)
            partitions[worker].write_batch([Rows(dataset(name), SYMBOLS[worker], n, n, [row, row])])
        if not waits:  # the end of a live run waits for a moment only
            wait_until(lambda: sink.rows.total() == 1_800)
        partitions[worker].close()

    threads = [threading.Thread(target=work, args=[worker], daemon=True) for worker in range(len(SYMBOLS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert (sink.rows, sink.dropped) == (Counter(dict.fromkeys(DATASETS, 600)), Counter())
    received = broker.read([f"orderbook.{name}" for name in DATASETS], 1_800)
    for place, name in enumerate(DATASETS):
        for symbol in SYMBOLS:
            rows = [row for topic, key, row in received if (topic, key) == (f"orderbook.{name}", symbol)]
            assert [row["symbol"] for row in rows] == [symbol] * 200
            times = [f"1970-01-01T00:00:00.{n:06}Z" for n in range(place, 300, 3) for _ in range(2)]
            assert [row["local_timestamp"] for row in rows] == times
    assert warnings(caplog) == []


def test_broker_killed_and_started_anew(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """Rows wait, though not beyond the limit; the oldest are lost and counted; the log says it once."""
    broker.start()
    publisher = Publisher(broker.servers, Shutdown(), waits=False, limit=10_000)  # 1,000 rows
    publisher.open()
    publisher.queue.put(quotes(0, 50))
    wait_until(lambda: publisher.rows["quotes"] == 50)
    broker.kill()
    publisher.queue.put(quotes(50, 100))
    wait_until(lambda: "are not delivered" in caplog.text)
    total = MESSAGES + 3_000
    for n in range(100, total, 500):
        publisher.queue.put(quotes(n, min(n + 500, total)))
        wait_until(lambda: not publisher.queue or publisher.queue.rows["quotes"] > MESSAGES)
    broker.start()
    wait_until(lambda: "are delivered again" in caplog.text)
    publisher.close()
    dropped = publisher.queue.dropped["quotes"]
    assert dropped > total - MESSAGES - 1_100
    assert publisher.rows + publisher.failed + publisher.queue.dropped == {"quotes": total}
    received = numbers(broker.read(["orderbook.quotes"], publisher.rows["quotes"] - 50))
    assert received == sorted(set(received))
    assert received[-100:] == list(range(total - 100, total))
    began, over = warnings(caplog)
    assert f"Kafka {broker.servers}: rows are not delivered: 'no broker can be reached'" in began
    assert f"{dropped + publisher.failed.total():,} rows are lost" in over


def test_end_of_a_live_run_while_the_broker_hangs(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """The end waits for a moment, then the rows that wait are given up, counted and logged."""
    broker.start()
    sink = KafkaSink(broker.servers, Shutdown(), waits=False)
    partition = sink.build("kafka", 0, 1)
    partition.write_batch(quotes(0, 10))
    wait_until(lambda: sink.rows["quotes"] == 10)
    broker.freeze()
    partition.write_batch(quotes(10, 40))
    began = time.monotonic()
    partition.close()
    assert CLOSE_TIMEOUT <= time.monotonic() - began < CLOSE_TIMEOUT + 5
    assert (sink.rows, sink.dropped) == ({"quotes": 10}, {"quotes": 30})
    assert warnings(caplog) == [f"Kafka {broker.servers}: the run ends, 30 rows are lost"]


def test_replay_waits_for_a_broker(broker: Broker) -> None:
    """A replay waits for as long as no broker answers, and loses nothing by that."""
    publisher = Publisher(broker.servers, shutdown := Shutdown(), waits=True, limit=1_000)
    publisher.open()
    total = MESSAGES + 1_000
    writer = threading.Thread(target=publisher.queue.put, args=[quotes(0, total)], daemon=True)
    writer.start()
    wait_until(lambda: publisher.queue.rows["quotes"] >= MESSAGES)
    broker.start()
    writer.join(DEADLINE)
    publisher.close()
    assert (publisher.rows, shutdown.code) == ({"quotes": total}, None)
    assert numbers(broker.read(["orderbook.quotes"], total)) == list(range(total))


def test_end_of_a_replay_without_a_broker(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """A replay whose rows no broker takes for a while ends with exit code 1, and says how many they are."""
    publisher = Publisher(broker.servers, shutdown := Shutdown(), waits=True, patience=0.1)
    publisher.open()
    publisher.queue.put(quotes(0, 10))
    publisher.close()
    assert (publisher.failed, shutdown.code) == ({"quotes": 10}, 1)
    assert warnings(caplog)[-1] == f"Kafka {broker.servers}: the run ends, 10 rows are lost"


def test_topic_that_is_refused(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """Rows that the broker refuses are counted and logged with the reason; other datasets are delivered."""
    broker.start(("topic", "orderbook.trades", 29))
    publisher = Publisher(broker.servers, Shutdown(), waits=False)
    publisher.open()
    trades = Rows(dataset("trades"), "BTC-USD", 1, 1, [("1", "buy", 2.0, 0.1)] * 5)
    publisher.queue.put([trades, *quotes(0, 5), trades])
    wait_until(lambda: publisher.rows.total() + publisher.failed.total() == 15)
    publisher.close()
    assert (publisher.rows, publisher.failed) == ({"quotes": 5}, {"trades": 10})
    began, over = warnings(caplog)
    assert "orderbook.trades: Broker: Topic authorization failed" in began
    assert "10 rows are lost" in over


def test_fatal_error(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """A producer with a fatal error is replaced: what it had has failed, what comes then is delivered."""
    broker.start(("request", 22, 31))  # InitProducerId: cluster authorization failed
    publisher = Publisher(broker.servers, Shutdown(), waits=False)
    publisher.open()
    publisher.queue.put(quotes(0, 5))
    wait_until(lambda: publisher.failed["quotes"])
    publisher.queue.put(quotes(5, 10))
    wait_until(lambda: publisher.rows["quotes"] == 5)
    publisher.close()
    assert publisher.failed == {"quotes": 5}
    assert numbers(broker.read(["orderbook.quotes"], 5)) == [5, 6, 7, 8, 9]
    assert "authorization failed" in warnings(caplog)[0]


UNCLOSED = """
import sys
from orderbook.output.datasets import Rows, dataset
from orderbook.output.kafka import KafkaSink
from orderbook.shutdown import Shutdown

rows = Rows(dataset("quotes"), "BTC-USD", 1, 1, [(1.0, 2.0, float(n), 4.0) for n in range(10)])
KafkaSink(sys.argv[1], Shutdown(), waits=True).build("kafka", 0, 1).write_batch([rows])
"""


def test_exit_that_closes_nothing(broker: Broker) -> None:
    """A process whose engine closes nothing, as after an error, delivers its rows before it exits."""
    broker.start()
    program = [sys.executable, "-c", UNCLOSED, broker.servers]
    assert subprocess.run(program, cwd=ROOT, timeout=DEADLINE).returncode == 0
    assert numbers(broker.read(["orderbook.quotes"], 10)) == list(range(10))
