"""Plain client of the simulated exchange, which only listens and keeps a naive book."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.exchange import Exchange
from tests.support.oracle import Oracle

PRODUCT = "AAA-EUR"
"""A product of the generic, small kind."""

DEADLINE = 10.0
"""Seconds within which anything that should come has come."""


def request(connection: ClientConnection, kind: str, products: list[str], *channels: str) -> None:
    """Send a request for products, on the channel of the books if no other is given."""
    fields = {"type": kind, "product_ids": products, "channels": channels or ["level2_batch"]}
    connection.send(json.dumps(fields))


def subscribe(
    connection: ClientConnection, *products: str, matches: bool = False, heartbeat: bool = False
) -> None:
    """Ask for the books of products, and for their trades and heartbeats too if wanted."""
    others = [channel for channel, wanted in [("matches", matches), ("heartbeat", heartbeat)] if wanted]
    request(connection, "subscribe", [*products], "level2_batch", *others)


def receive(connection: ClientConnection) -> bytes:
    """The next frame, within the deadline."""
    return connection.recv(timeout=DEADLINE, decode=False)


def receive_until(connection: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The next frame that is wanted, as a dict; `TimeoutError` if none comes within the deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        message: dict[str, Any] = json.loads(receive(connection))
        if wanted(message):
            return message
    raise TimeoutError(f"no such frame within {DEADLINE} s")


def type_of(frame: bytes) -> str:
    """A frame's type."""
    name: str = json.loads(frame)["type"]
    return name


@contextmanager
def client(exchange: Exchange) -> Iterator[ClientConnection]:
    """A plain client that has only connected."""
    secure = exchange.url.startswith("wss:")
    context = ssl.create_default_context(cafile=exchange.ca_file) if secure else None
    # No end to the queue: a client that doesn't read to the end must not be long in closing.
    with connect(
        exchange.url, ssl=context, max_size=2**27, max_queue=None, open_timeout=DEADLINE
    ) as connection:
        yield connection


@contextmanager
def reader(exchange: Exchange, product: str = PRODUCT) -> Iterator[tuple[ClientConnection, Oracle]]:
    """A client that has had the product's acknowledgement and snapshot, and an oracle that knows it."""
    with client(exchange) as connection:
        subscribe(connection, product)
        assert type_of(receive(connection)) == "subscriptions"
        oracle = Oracle(product)
        oracle.apply(receive(connection))
        assert (oracle.bids, oracle.asks) == exchange.book(product)
        yield connection, oracle
