"""The simulated exchange keeps the feed's protocol.

Whatever other tests learn from it rests on this: its true book is what its frames say.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.exchange import Exchange
from tests.exchange.client import DEADLINE, PRODUCT, client, heard, kind, reader, subscribe
from tests.support.oracle import Oracle, lines
from tests.support.processes import ROOT


@pytest.fixture(scope="module")
def small() -> Iterator[Exchange]:
    """An exchange of two small products whose markets move only when told."""
    with Exchange([PRODUCT, "BBB-EUR"], rate=0, levels=20) as exchange:
        yield exchange


def test_the_protocol_of_the_whole_feed() -> None:
    """Acknowledgement, then snapshots, then updates; what was heard is what was sent and what is true."""
    with Exchange(rate=20) as exchange, client(exchange) as connection:
        subscribe(connection, *exchange.products, heartbeat=True)
        channels = json.loads(heard(connection))["channels"]
        assert [channel["name"] for channel in channels] == ["level2_50", "heartbeat"]
        assert channels[0] == {
            "name": "level2_50",
            "product_ids": list(exchange.products),
            "account_ids": None,
        }
        frames = [heard(connection) for _ in range(400)]
        assert [kind(frame) for frame in frames[:4]] == ["snapshot"] * 4
        assert len(frames[0]) > 1_100_000 and b'"BTC-USD","asks":[["' in frames[0][:60]
        kinds = Counter(map(kind, frames))
        assert set(kinds) == {"snapshot", "l2update", "heartbeat", "match"}
        assert kinds["l2update"] > 340
        exchange.pause()
        frames += [heard(connection) for _ in range(sum(map(len, exchange.sent.values())) - 400)]
        for product in exchange.products:
            sent = [sent.frame for sent in exchange.sent[product]]
            mine = [frame for frame in frames if json.loads(frame)["product_id"] == product]
            assert mine == sent[: len(mine)]
            oracle = Oracle(product)
            assert [line for line in map(oracle.apply, mine) if line] == lines(mine)[product]
            assert (oracle.bids, oracle.asks) == exchange.book(product)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('["AAA-EUR","AAA-XXX"]', "AAA-XXX is not a valid product"),
        ("[]", "No products or no channels"),
        ('[{"x":1}]', "{'x': 1} is not a valid product"),
        ("AAA-EUR", "Malformed message"),
    ],
)
def test_a_subscribe_is_met_whole_or_not_at_all(small: Exchange, message: str, reason: str) -> None:
    """One bad product voids it; the connection stays, and a good one can follow."""
    with client(small) as connection:
        connection.send(f'{{"type":"subscribe","product_ids":{message},"channels":["level2_batch"]}}')
        expected = {"type": "error", "message": "Failed to subscribe", "reason": reason}
        assert json.loads(heard(connection)) == expected
        subscribe(connection, PRODUCT)
        assert [kind(heard(connection)) for _ in range(2)] == ["subscriptions", "snapshot"]


def test_who_does_not_subscribe_is_sent_away() -> None:
    """The connection is closed when its time to subscribe is over."""
    with Exchange([PRODUCT], subscribe_within=0.2) as exchange, client(exchange) as connection:
        with pytest.raises(ConnectionClosed) as closed:
            heard(connection)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


def test_all_readers_of_a_product_hear_the_same(small: Exchange) -> None:
    """The market moves once, whoever listens; a late reader starts from the same book."""
    with reader(small) as (early, first):
        small.step(PRODUCT, 3)
        for _ in range(3):
            first.apply(heard(early))
        with reader(small) as (late, second):
            small.step(PRODUCT)
            frame = heard(early)
            assert heard(late) == frame
            assert first.apply(frame) == second.apply(frame)
            assert len(small.live(PRODUCT)) == 2


def test_connections_are_on_record() -> None:
    """How often and when a client came, what it asked for and how it left."""
    with Exchange([PRODUCT], rate=0) as exchange:
        with client(exchange) as connection:
            connection.close(1001)
        with reader(exchange) as (connection, _):
            first, second = exchange.connections
            exchange.wait(lambda: not first.open, DEADLINE)
            assert (first.close_code, first.closed_by_client, first.products) == (1001, True, [])
            assert second.open and second.products == [PRODUCT] and first.connected < second.connected
            connection.socket.shutdown(2)
            exchange.wait(lambda: not second.open, DEADLINE)
            assert (second.close_code, second.closed_by_client) == (1006, False)
        assert len(exchange.attempts) == 2


def test_rates_are_honest() -> None:
    """40 products at 20 updates and one heartbeat a second each get just that, evenly spread."""
    products = [f"P{number}-EUR" for number in range(40)]
    with Exchange(products, rate=20, levels=20, compression=None) as exchange, client(exchange) as connection:
        subscribe(connection, *products, heartbeat=True)
        start = time.monotonic()
        threading.Thread(target=lambda: list(connection), daemon=True).start()
        exchange.wait(lambda: time.monotonic() - start > 2, DEADLINE)
        exchange.pause()
        seconds = time.monotonic() - start
        for sent in exchange.sent.values():
            kinds = Counter(kind(sent.frame) for sent in sent)
            assert abs(kinds["l2update"] - 20 * seconds) < 4
            assert abs(kinds["heartbeat"] - seconds) < 2


def test_the_listener_can_be_closed_and_opened(small: Exchange) -> None:
    """Refused while it is closed, the same address once it is open, open connections untouched."""
    with reader(small) as (connection, _):
        small.close_listener()
        with pytest.raises(ConnectionRefusedError):
            connect(small.url)
        small.step(PRODUCT)
        assert kind(heard(connection)) == "l2update"
        small.open_listener()
        with reader(small):
            pass


def test_nothing_is_left_when_it_stops() -> None:
    """A stop with open connections and pending faults says goodbye and leaves no thread of its own."""

    def exchanges() -> int:
        return sum(thread.name == "exchange" for thread in threading.enumerate())

    before = exchanges()
    with Exchange([PRODUCT], levels=20) as exchange, connect(exchange.url) as connection:
        subscribe(connection, PRODUCT)
        exchange.fault("slow_link", PRODUCT)
        exchange.fault("silence_with_heartbeats", PRODUCT)
        assert exchanges() == before + 1
        started = time.monotonic()
        exchange.stop()
        assert time.monotonic() - started < 3
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                heard(connection)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
    assert exchanges() == before


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_from_a_shell(end: signal.Signals, tmp_path: Path) -> None:
    """It says where it listens and how to listen to it, logs what it sends, and ends without a word."""
    log = tmp_path / "log"
    command = [
        sys.executable,
        "-m",
        "tests.exchange",
        "--port",
        "0",
        "--products",
        PRODUCT,
        "--log",
        str(log),
    ]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[2].rstrip(";")
        shown = process.stderr.readline()
        assert shown.startswith(f"ORDERBOOK_FEED_URL={url} ") and f"ORDERBOOK_PRODUCTS={PRODUCT}" in shown
        with connect(url) as connection:
            subscribe(connection, PRODUCT)
            assert [kind(heard(connection)) for _ in range(3)] == ["subscriptions", "snapshot", "l2update"]
            process.send_signal(end)
            rest = process.communicate(timeout=DEADLINE)[1]
    assert (process.returncode, rest) == (0, "")
    product, when, first = log.read_text().splitlines()[0].split()
    assert (product, first) == (PRODUCT, "snapshot") and float(when) < time.monotonic()
