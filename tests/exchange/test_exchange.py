"""Test that the simulated exchange sends what its books are, at the right pace, as long as it runs.

What other tests show rests on this: its true book is what its frames make.
"""

import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.exchange import Exchange
from tests.exchange.client import DEADLINE, PRODUCT, client, reader, receive, request, subscribe, type_of
from tests.support.tape import Tape


@pytest.fixture(scope="module")
def small() -> Iterator[Exchange]:
    """An exchange of two small products whose markets move only by `step`."""
    with Exchange([PRODUCT, "BBB-EUR"], rate=0, levels=20) as exchange:
        yield exchange


@pytest.mark.parametrize(
    "options",
    # Not over TLS: Python 3.11 can't read and write one TLS socket in two threads, as this client does.
    [{}, {"tick": 0.05}, {"compression": None, "tick": 0.02}, {"prepared": 50}],
    ids=lambda options: " ".join(options) or "plain",
)
def test_whole_feed(options: dict[str, Any]) -> None:
    """A client gets the acknowledgement, then snapshots, then updates that make the exchange's true books.

    Each snapshot is followed by the last trade, and trades come before the updates that cover them.
    """
    with Exchange(rate=20, **options) as exchange, client(exchange) as connection:
        subscribe(connection, *exchange.products, matches=True, heartbeat=True)
        channels = json.loads(receive(connection))["channels"]
        assert [channel["name"] for channel in channels] == ["level2_50", "matches", "heartbeat"]
        assert channels[0] == {
            "name": "level2_50",
            "product_ids": list(exchange.products),
            "account_ids": None,
        }
        frames = [receive(connection) for _ in range(400)]
        assert [type_of(frame) for frame in frames[:8]] == ["snapshot", "last_match"] * 4
        assert len(frames[0]) > 1_100_000 and b'"BTC-USD","asks":[["' in frames[0][:60]
        kinds = Counter(map(type_of, frames))
        assert set(kinds) == {"snapshot", "l2update", "heartbeat", "match", "last_match"}
        assert kinds["l2update"] > 240
        exchange.pause()
        frames += [receive(connection) for _ in range(sum(map(len, exchange.sent.values())) - 400)]
        for product in exchange.products:
            sent = [sent.frame for sent in exchange.sent[product]]
            mine = [frame for frame in frames if json.loads(frame)["product_id"] == product]
            assert mine == sent[: len(mine)]
            tape = Tape(product)
            for frame in mine:
                tape.judge(frame)
            assert (tape.oracle.bids, tape.oracle.asks) == exchange.book(product)
            assert tape.trades and tape.trades == exchange.trades(product)[-len(tape.trades) :]


def test_no_subscription() -> None:
    """A connection without a subscription is closed with 1008 when its time is over."""
    with Exchange([PRODUCT], subscribe_within=0.2) as exchange, client(exchange) as connection:
        with pytest.raises(ConnectionClosed) as closed:
            receive(connection)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


def test_two_readers(small: Exchange) -> None:
    """All readers of a product get the same updates; a later one begins with the book as it is."""
    with reader(small) as (early, first):
        small.step(PRODUCT, 3)
        for _ in range(3):
            first.apply(receive(early))
        with reader(small) as (late, second):
            small.step(PRODUCT)
            frame = receive(early)
            assert receive(late) == frame
            assert first.apply(frame) == second.apply(frame)
            assert len(small.live(PRODUCT)) == 2


def test_record_of_connections() -> None:
    """How often and when a client connected, what it asked for and how it left is on record."""
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


def test_rates() -> None:
    """40 products get 20 updates and one heartbeat a second each, evenly spread."""
    products = [f"P{number}-EUR" for number in range(40)]
    with Exchange(products, rate=20, levels=20, compression=None) as exchange, client(exchange) as connection:
        subscribe(connection, *products, heartbeat=True)
        start = time.monotonic()
        threading.Thread(target=lambda: list(connection), daemon=True).start()
        exchange.wait(lambda: time.monotonic() - start > 2, DEADLINE)
        exchange.pause()
        seconds = time.monotonic() - start
        for sent in exchange.sent.values():
            types = Counter(type_of(sent.frame) for sent in sent)
            assert abs(types["l2update"] - 20 * seconds) < 4
            assert abs(types["heartbeat"] - seconds) < 2


def test_ticks() -> None:
    """At each tick a connection gets one update of each of its products, in order; a paused one none.

    Trades go to those who subscribed to them.
    """
    products = [PRODUCT, "BBB-EUR", "CCC-EUR"]
    with (
        Exchange(products, rate=10, tick=0.1, levels=20) as exchange,
        client(exchange) as connection,
        reader(exchange, PRODUCT),
        client(exchange) as trader,
    ):
        subscribe(connection, *products)
        request(trader, "subscribe", [PRODUCT], "matches")
        exchange.wait(lambda: len(exchange.sent[products[-1]]) > 10, DEADLINE)
        updates = [json.loads(receive(connection)) for _ in range(34)][4:]
        assert [update["product_id"] for update in updates] == products * 10
        assert {update["type"] for update in updates} == {"l2update"}
        traded = [type_of(receive(trader)) for _ in range(5)]
        assert traded == ["subscriptions", "last_match", *["match"] * 3]
        exchange.pause(PRODUCT)
        count, trades = len(exchange.sent[PRODUCT]), exchange.trades(PRODUCT)
        exchange.wait(lambda: len(exchange.sent[products[-1]]) > 20, DEADLINE)
        assert len(exchange.sent[PRODUCT]) == count
        assert exchange.trades(PRODUCT) == trades


def test_listener(small: Exchange) -> None:
    """A closed listener refuses connects, keeps its port and its connections, and can be opened again."""
    with reader(small) as (connection, _):
        small.close_listener()
        with pytest.raises(ConnectionRefusedError):
            connect(small.url)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", int(small.url.rpartition(":")[2])))
        small.step(PRODUCT)
        assert type_of(receive(connection)) == "l2update"
        small.open_listener()
        with reader(small):
            pass


def test_drop_in_tls_handshake() -> None:
    """A client that has not finished its TLS handshake when all connections are dropped is dropped too."""
    with Exchange([PRODUCT], rate=0, tls=True) as exchange:
        address = urlsplit(exchange.url)
        context = ssl.create_default_context(cafile=exchange.ca_file)
        with socket.create_connection((address.hostname, address.port), DEADLINE) as raw:
            exchange.wait(lambda: exchange.attempts, DEADLINE)
            exchange.close_listener(drop=True)
            with (
                context.wrap_socket(raw, server_hostname=address.hostname) as secure,
                suppress(ConnectionError, ssl.SSLEOFError),
            ):
                assert secure.recv(1) == b""


def test_stop() -> None:
    """A stop closes open connections with 1001, whatever faults are pending, and leaves no thread behind."""

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
                receive(connection)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
    assert exchanges() == before
