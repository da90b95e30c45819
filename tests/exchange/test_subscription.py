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
from tests.support.tape import Tape

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


def next_frame(connection: ClientConnection) -> tuple[str, str]:
    """Type and product of the next frame."""
    message = json.loads(receive(connection))
    return message["type"], message["product_id"]


def test_subscriptions_add_up(exchange: Exchange) -> None:
    """An acknowledgement lists all subscriptions; a second one brings no snapshot or last trade again."""
    with client(exchange) as connection:
        subscribe(connection, PRODUCT)
        assert acknowledged(connection) == {"level2_50": [PRODUCT]}
        assert next_frame(connection) == ("snapshot", PRODUCT)
        for begins in (True, False):
            request(connection, "subscribe", [OTHER, PRODUCT], "level2_batch", "matches")
            assert acknowledged(connection) == {"level2_50": [PRODUCT, OTHER], "matches": [OTHER, PRODUCT]}
            if begins:
                assert next_frame(connection) == ("snapshot", OTHER)
                assert next_frame(connection) == ("last_match", OTHER)
                assert next_frame(connection) == ("last_match", PRODUCT)
        for product in (PRODUCT, OTHER):
            exchange.step(product)
            message = receive_until(connection, lambda message: message["type"] != "match")
            assert (message["type"], message["product_id"]) == ("l2update", product)


def test_trades(exchange: Exchange) -> None:
    """Who is subscribed to trades gets the last one, then each that happens; nobody else gets any."""
    exchange.step(PRODUCT, 100)
    with client(exchange) as both, client(exchange) as book, client(exchange) as trades:
        for connection, channels in ((both, ["level2_batch", "matches"]), (book, []), (trades, ["matches"])):
            request(connection, "subscribe", [PRODUCT], *channels)
            acknowledged(connection)
        before = exchange.trades(PRODUCT)
        exchange.step(PRODUCT, 100)
        new = exchange.trades(PRODUCT)[len(before) :]
        assert len(new) > 5

        tape = Tape(PRODUCT)
        for _ in range(2 + 100 + len(new)):
            tape.judge(receive(both))
        assert tape.trades == new

        assert [type_of(receive(book)) for _ in range(101)] == ["snapshot", *["l2update"] * 100]

        messages = [json.loads(receive(trades)) for _ in range(1 + len(new))]
        assert [message["type"] for message in messages] == ["last_match", *["match"] * len(new)]
        ids = [trade.id for trade in [before[-1], *new]]
        assert [message["trade_id"] for message in messages] == ids

        request(both, "unsubscribe", [PRODUCT], "matches")
        assert acknowledged(both) == {"level2_50": [PRODUCT]}
        exchange.step(PRODUCT, 100)
        assert {type_of(receive(both)) for _ in range(100)} == {"l2update"}


def test_unsubscribe(exchange: Exchange) -> None:
    """Updates of an unsubscribed product stop at once; a new subscription of it begins with a snapshot."""
    with client(exchange) as connection:
        subscribe(connection, PRODUCT, OTHER)
        assert acknowledged(connection) == {"level2_50": [PRODUCT, OTHER]}
        assert [next_frame(connection)[0] for _ in range(2)] == ["snapshot"] * 2
        request(connection, "unsubscribe", [PRODUCT])
        assert acknowledged(connection) == {"level2_50": [OTHER]}
        assert not exchange.live(PRODUCT) and exchange.live(OTHER)
        exchange.step(PRODUCT)
        exchange.step(OTHER)
        assert next_frame(connection) == ("l2update", OTHER)
        subscribe(connection, PRODUCT)
        assert acknowledged(connection) == {"level2_50": [OTHER, PRODUCT]}
        oracle = Oracle(PRODUCT)
        oracle.apply(receive(connection))
        assert (oracle.bids, oracle.asks) == exchange.book(PRODUCT)
        exchange.step(PRODUCT)
        assert next_frame(connection) == ("l2update", PRODUCT)
        number = exchange.connections[-1].number
        sent = [sent for sent in exchange.sent[PRODUCT] if sent.connection == number]
        begun = [(sent.subscription, type_of(sent.frame)) for sent in sent]
        assert begun == [(0, "snapshot"), (1, "snapshot"), (1, "l2update")]


def test_unsubscribe_from_a_channel(exchange: Exchange) -> None:
    """Trades and heartbeats go on without the books, and when these come back, with no last trade again.

    An unsubscribe without products ends a whole channel.
    """
    with client(exchange) as connection:
        subscribe(connection, PRODUCT, OTHER, matches=True, heartbeat=True)
        assert list(acknowledged(connection)) == ["level2_50", "matches", "heartbeat"]
        request(connection, "unsubscribe", [PRODUCT, OTHER])
        message = receive_until(connection, lambda message: message["type"] == "subscriptions")
        assert [channel["name"] for channel in message["channels"]] == ["matches", "heartbeat"]
        before = len(exchange.trades(PRODUCT))
        exchange.step(PRODUCT, 100)
        new = {trade.id for trade in exchange.trades(PRODUCT)[before:]}
        while new:
            message = json.loads(receive(connection))
            assert message["type"] in ("match", "heartbeat")
            new.discard(message.get("trade_id"))
        beat = receive_until(connection, lambda message: message["product_id"] == PRODUCT)
        assert beat["last_trade_id"] == exchange.trades(PRODUCT)[-1].id
        subscribe(connection, PRODUCT, matches=True, heartbeat=True)
        for expected in ("subscriptions", "snapshot", "l2update"):
            message = receive_until(connection, lambda message: message["type"] not in ("match", "heartbeat"))
            assert message["type"] == expected
            exchange.step(PRODUCT)
        request(connection, "unsubscribe", [PRODUCT, OTHER], "level2_batch", "matches")
        message = receive_until(connection, lambda message: message["type"] == "subscriptions")
        assert [channel["name"] for channel in message["channels"]] == ["heartbeat"]
        exchange.step(PRODUCT, 100)
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
