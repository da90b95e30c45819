"""Test what each fault does to a connection that its product shares with another."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.exchange import Exchange
from tests.exchange.client import DEADLINE, PRODUCT, client, receive, receive_until, request, subscribe
from tests.exchange.trouble import FAULTS, Stream, Subscribe

OTHER = "BBB-EUR"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    """An exchange of two small products whose markets move only by `step`."""
    with Exchange([PRODUCT, OTHER], rate=0, levels=20) as exchange:
        yield exchange


def next_frame(connection: ClientConnection) -> tuple[str, str]:
    """The next frame's type and product, if it has one; heartbeats are passed over."""
    message = receive_until(connection, lambda message: message["type"] != "heartbeat")
    return message["type"], message.get("product_id", "")


def await_heartbeat(connection: ClientConnection, product: str) -> None:
    """Receive frames up to a product's heartbeat."""
    wanted = "heartbeat", product
    receive_until(connection, lambda message: (message["type"], message.get("product_id")) == wanted)


ACK, ERROR = ("subscriptions", ""), ("error", "")
SNAPSHOT, UPDATE, OTHERS = ("snapshot", PRODUCT), ("l2update", PRODUCT), ("snapshot", OTHER)


@pytest.mark.parametrize(
    ("name", "received"),
    [
        ("ack_late", [ACK, SNAPSHOT, OTHERS]),
        ("ack_missing", [SNAPSHOT, OTHERS]),
        ("ack_after_snapshot", [SNAPSHOT, OTHERS, ACK]),
        ("unknown_product", [ERROR]),
        ("another_error", [ERROR]),
        ("snapshot_late", [ACK, OTHERS, UPDATE, SNAPSHOT]),
        ("snapshot_never", [ACK, OTHERS]),
        ("snapshot_slow", [ACK, SNAPSHOT, OTHERS]),
        ("snapshot_over_1_mib", [ACK, SNAPSHOT, OTHERS]),
        ("snapshot_over_4_mib", [ACK, SNAPSHOT, OTHERS]),
    ],
)
def test_subscribe(exchange: Exchange, name: str, received: list[tuple[str, str]]) -> None:
    """A refusal voids the whole subscribe; a fault of one product's snapshot leaves the other's alone."""
    exchange.fault(name, PRODUCT, seconds=0.3)
    struck = len(exchange.struck)
    began = time.monotonic()
    with client(exchange) as connection:
        subscribe(connection, OTHER, PRODUCT, heartbeat=True)
        exchange.wait(lambda: len(exchange.struck) > struck, DEADLINE)
        for expected in received:
            if expected == UPDATE:
                exchange.step(PRODUCT)
            assert next_frame(connection) == expected
        assert not name.endswith("late") or time.monotonic() - began > 0.3
        assert bool(exchange.live(OTHER)) == (ERROR not in received)
        assert bool(exchange.live(PRODUCT)) == (SNAPSHOT in received)
        exchange.step(PRODUCT)
        exchange.step(OTHER)
        if SNAPSHOT in received:
            assert next_frame(connection) == UPDATE
        if ERROR not in received:
            assert next_frame(connection) == ("l2update", OTHER)
            await_heartbeat(connection, PRODUCT)


def test_unknown_product(exchange: Exchange) -> None:
    """The reason for the refusal names the product that the fault happens to."""
    exchange.fault("unknown_product", PRODUCT)
    with client(exchange) as connection:
        subscribe(connection, OTHER, PRODUCT)
        assert json.loads(receive(connection))["reason"] == f"{PRODUCT} is not a valid product"


def test_table_of_subscribes() -> None:
    """The table above has every fault of a subscribe."""
    marks = test_subscribe.pytestmark  # type: ignore[attr-defined]
    assert {name for name, _ in marks[0].args[1]} == {n for n, f in FAULTS.items() if f.moment is Subscribe}


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.moment is Stream])
def test_stream(name: str) -> None:
    """A fault that the client gets over by a new connection or book happens once, to the newest connection.

    The other product's frames go on, unless the connection is the one that is lost.
    """
    with Exchange([PRODUCT, OTHER], rate=0, levels=20) as exchange, client(exchange) as connection:
        subscribe(connection, OTHER, PRODUCT)
        assert [next_frame(connection) for _ in range(3)] == [ACK, OTHERS, SNAPSHOT]
        exchange.fault(name, PRODUCT, seconds=0.2, times=2)
        happened = 1 if FAULTS[name].replaces else 2
        assert [(s.name, s.product, s.connection) for s in exchange.struck] == [(name, PRODUCT, 0)] * happened
        lost = exchange.connections[0].muted or name.startswith(("closed", "dropped"))
        updates = 0
        with suppress(ConnectionClosed, TimeoutError):
            exchange.step(OTHER)
            while not updates:
                frame = connection.recv(timeout=0.5 if lost else DEADLINE, decode=False)
                updates += f'"l2update","product_id":"{OTHER}"'.encode() in frame[:60]
        assert updates == (not lost)


def test_product_silent(exchange: Exchange) -> None:
    """No frame of the product comes until it is subscribed anew; the other's updates and heartbeats do."""
    with client(exchange) as connection:
        subscribe(connection, OTHER, PRODUCT, heartbeat=True)
        assert [next_frame(connection) for _ in range(3)] == [ACK, OTHERS, SNAPSHOT]
        exchange.fault("product_silent", PRODUCT)
        exchange.sent[PRODUCT].clear()
        exchange.step(PRODUCT)
        exchange.step(OTHER)
        assert next_frame(connection) == ("l2update", OTHER)
        for _ in range(2):
            await_heartbeat(connection, OTHER)
        assert exchange.sent[PRODUCT] == []
        request(connection, "unsubscribe", [PRODUCT])
        subscribe(connection, PRODUCT)
        assert [next_frame(connection) for _ in range(3)] == [ACK, ACK, SNAPSHOT]
        await_heartbeat(connection, PRODUCT)


def test_next_fault(exchange: Exchange) -> None:
    """After a fault for which a client replaces the book, the next one waits for the new subscription."""
    with client(exchange) as connection:
        subscribe(connection, OTHER, PRODUCT)
        assert [next_frame(connection) for _ in range(3)] == [ACK, OTHERS, SNAPSHOT]
        struck = len(exchange.struck)
        exchange.fault("update_lost", PRODUCT)
        exchange.fault("closed_1011", PRODUCT)
        assert [struck.name for struck in exchange.struck[struck:]] == ["update_lost"]
        request(connection, "unsubscribe", [PRODUCT])
        subscribe(connection, PRODUCT)
        with pytest.raises(ConnectionClosed):
            while True:
                receive(connection)
        assert [struck.name for struck in exchange.struck[struck:]] == ["update_lost", "closed_1011"]
