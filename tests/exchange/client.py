"""A plain client of the simulated exchange, which only listens and keeps a naive book."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.sync.client import ClientConnection, connect

from tests.exchange import Exchange
from tests.support.oracle import Oracle

PRODUCT = "AAA-EUR"
"""A product of the generic, small kind."""

DEADLINE = 10.0
"""Seconds within which anything that should come has come."""


def subscribe(client: ClientConnection, *products: str, heartbeat: bool = False) -> None:
    """Ask for the books of products."""
    channels = ["level2_batch", "heartbeat"] if heartbeat else ["level2_batch"]
    client.send(json.dumps({"type": "subscribe", "product_ids": products, "channels": channels}))


def heard(client: ClientConnection) -> bytes:
    """The next frame, within the deadline."""
    return client.recv(timeout=DEADLINE, decode=False)


def kind(frame: bytes) -> str:
    """A frame's type."""
    name: str = json.loads(frame)["type"]
    return name


@contextmanager
def client(exchange: Exchange) -> Iterator[ClientConnection]:
    """A plain client that has only connected."""
    # No end to the queue: a client that doesn't read to the end must not be long in closing.
    with connect(exchange.url, max_size=2**27, max_queue=None, open_timeout=DEADLINE) as connection:
        yield connection


@contextmanager
def reader(exchange: Exchange, product: str = PRODUCT) -> Iterator[tuple[ClientConnection, Oracle]]:
    """A client that has had the product's acknowledgement and snapshot, and an oracle that knows it."""
    with client(exchange) as connection:
        subscribe(connection, product)
        assert kind(heard(connection)) == "subscriptions"
        oracle = Oracle(product)
        oracle.apply(heard(connection))
        assert (oracle.bids, oracle.asks) == exchange.book(product)
        yield connection, oracle
