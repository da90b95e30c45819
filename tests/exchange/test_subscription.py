"""Test how the simulated exchange answers requests."""

import json
import time
from collections.abc import Iterator

import pytest
from websockets.sync.client import ClientConnection

from tests.exchange import Exchange
from tests.exchange.client import (
    DEADLINE,
    PRODUCT,
    client,
    receive,
    receive_until,
    request,
    subscribe,
    type_of,
)
from tests.support.oracle import Oracle

OTHER = "BBB-EUR"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    """An exchange of two small products whose markets move only by `step`, and that takes three a request."""
    with Exchange([PRODUCT, OTHER], rate=0, levels=20, most_products=3) as exchange:
        yield exchange


def acknowledged(connection: ClientConnection) -> dict[str, list[str]]:
    """The next frame, which must be an acknowledgement: products by channel."""
    message = json.loads(receive(connection))
    assert message["type"] == "subscriptions"
    return {channel["name"]: channel["product_ids"] for channel in message["channels"]}


TOO_BIG = "Message too big: break up your subscription messages"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            '{"type":"subscribe","product_ids":["AAA-EUR","AAA-XXX"],"channels":["level2_batch"]}',
            "AAA-XXX is",
        ),
        (
            '{"type":"subscribe","product_ids":[{"x":1}],"channels":["level2_batch"]}',
            "{'x': 1} is not a valid",
        ),
        ('{"type":"subscribe","product_ids":["AAA-EUR"],"channels":["full"]}', "full is not a valid channel"),
        ('{"type":"subscribe","product_ids":[],"channels":["level2_batch"]}', "No products or no channels"),
        ('{"type":"subscribe","product_ids":"AAA-EUR","channels":["level2_batch"]}', "No products or no"),
        ('{"type":"subscribe","product_ids":["A","B","C","D"],"channels":["level2_batch"]}', TOO_BIG),
        ('{"type":"unsubscribe","product_ids":["AAA-XXX"],"channels":["level2_batch"]}', "AAA-XXX is not"),
        ('{"type":"scribble","product_ids":["AAA-EUR"],"channels":["level2_batch"]}', "Type has to be"),
        ('{"type":"subscribe"}', "Malformed message"),
        ("[]", "Malformed message"),
        ("subscribe AAA-EUR", "Malformed message"),
        ("[" * 100_000, "Malformed message"),
    ],
)
def test_refused(exchange: Exchange, message: str, reason: str) -> None:
    """A request that is wrong in any part is refused as a whole; the connection stays and can ask again."""
    with client(exchange) as connection:
        connection.send(message)
        error = json.loads(receive(connection))
        assert (error["type"], error["message"]) == ("error", "Failed to subscribe")
        assert error["reason"].startswith(reason)
        subscribe(connection, PRODUCT)
        assert acknowledged(connection) == {"level2_50": [PRODUCT]}
        assert type_of(receive(connection)) == "snapshot"


def next_of_a_book(connection: ClientConnection) -> tuple[str, str]:
    """Type and product of the next snapshot or update; trades are passed over."""
    message = receive_until(connection, lambda message: message["type"] in ("snapshot", "l2update"))
    return message["type"], message["product_id"]


def test_subscriptions_add_up(exchange: Exchange) -> None:
    """An acknowledgement lists all subscriptions; a book subscribed to twice gets one snapshot."""
    with client(exchange) as connection:
        subscribe(connection, PRODUCT)
        assert acknowledged(connection) == {"level2_50": [PRODUCT]}
        assert next_of_a_book(connection) == ("snapshot", PRODUCT)
        request(connection, "subscribe", [OTHER, PRODUCT], "level2_batch", "matches")
        assert acknowledged(connection) == {"level2_50": [PRODUCT, OTHER], "matches": [OTHER, PRODUCT]}
        assert next_of_a_book(connection) == ("snapshot", OTHER)
        for product in (PRODUCT, OTHER):
            exchange.step(product)
            assert next_of_a_book(connection) == ("l2update", product)


def test_unsubscribe(exchange: Exchange) -> None:
    """Updates of an unsubscribed product stop at once; a new subscription of it begins with a snapshot."""
    with client(exchange) as connection:
        subscribe(connection, PRODUCT, OTHER)
        assert acknowledged(connection) == {"level2_50": [PRODUCT, OTHER]}
        assert [next_of_a_book(connection)[0] for _ in range(2)] == ["snapshot"] * 2
        request(connection, "unsubscribe", [PRODUCT])
        assert acknowledged(connection) == {"level2_50": [OTHER]}
        assert not exchange.live(PRODUCT) and exchange.live(OTHER)
        exchange.step(PRODUCT)
        exchange.step(OTHER)
        assert next_of_a_book(connection) == ("l2update", OTHER)
        subscribe(connection, PRODUCT)
        assert acknowledged(connection) == {"level2_50": [OTHER, PRODUCT]}
        oracle = Oracle(PRODUCT)
        oracle.apply(receive(connection))
        assert (oracle.bids, oracle.asks) == exchange.book(PRODUCT)
        exchange.step(PRODUCT)
        assert next_of_a_book(connection) == ("l2update", PRODUCT)
        number = exchange.connections[-1].number
        sent = [sent for sent in exchange.sent[PRODUCT] if sent.connection == number]
        begun = [(sent.subscription, type_of(sent.frame)) for sent in sent if b"match" not in sent.frame[:20]]
        assert begun == [(0, "snapshot"), (1, "snapshot"), (1, "l2update")]


def test_unsubscribe_from_a_channel(exchange: Exchange) -> None:
    """Heartbeats go on without the books; an unsubscribe without products ends a whole channel."""
    with client(exchange) as connection:
        subscribe(connection, PRODUCT, OTHER, heartbeat=True)
        assert list(acknowledged(connection)) == ["level2_50", "heartbeat"]
        request(connection, "unsubscribe", [PRODUCT, OTHER])
        message = receive_until(connection, lambda message: message["type"] == "subscriptions")
        assert message["channels"][0]["name"] == "heartbeat"
        assert [type_of(receive(connection)) for _ in range(2)] == ["heartbeat"] * 2
        connection.send('{"type":"unsubscribe","channels":["heartbeat"]}')
        message = receive_until(connection, lambda message: message["type"] == "subscriptions")
        assert message["channels"] == []
        with pytest.raises(TimeoutError):
            connection.recv(timeout=1.5)


def test_record_of_requests(exchange: Exchange) -> None:
    """Each request is on record, with its time and its connection, also one that is refused."""
    began, before = time.monotonic(), len(exchange.requests)
    with client(exchange) as connection:
        connection.send("nonsense")
        subscribe(connection, PRODUCT)
        requests = exchange.wait(
            lambda: exchange.requests[before + 1 :] and exchange.requests[before:], DEADLINE
        )
        assert requests[0].request == "nonsense"
        assert requests[1].request["product_ids"] == [PRODUCT]
        assert began < requests[0].when <= requests[1].when < time.monotonic()
        assert {request.connection for request in requests} == {len(exchange.connections) - 1}
