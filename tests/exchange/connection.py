"""Record of a connection, and of each frame and request that passed over it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from websockets.asyncio.server import ServerConnection

from tests.exchange.subscription import CHANNELS, LEVEL2, Request


class Sent(NamedTuple):
    """A frame as it was sent: `time.monotonic()` just before, the connection's number, the frame.

    `subscription` counts from 0 how often the connection had unsubscribed from the product's book
    before: with another connection or another subscription a new stretch begins, with a snapshot.
    """

    when: float
    connection: int
    frame: bytes
    subscription: int = 0


class Received(NamedTuple):
    """A client's request: `time.monotonic()` of its arrival, the connection's number, the decoded JSON.

    Of a frame that is not JSON it is the text.
    """

    when: float
    connection: int
    request: Any


@dataclass(eq=False)
class Connection:
    """One connection that finished its handshake, numbered from 0 in order of connecting.

    `connected` is `time.monotonic()`. `products` are those that it ever asked for, `subscribed` those
    that it is subscribed to now, by channel, and `receiving` those of which it is sent what happens. It has
    had the snapshot of the products in `live`.
    `close_code` is the client's own (1006 if it left without a close frame), None while it is open;
    `closed_by_client` says that the client's close frame came before any of ours.

    After a fault nothing more is sent on it (`muted`) or of some products (`silent`), a client should
    replace it (`broken`) or subscribe some books anew (`broken_books`), or its frames wait in a
    `backlog` until a slow link has sent those before them.
    """

    number: int
    socket: ServerConnection
    connected: float
    products: list[str] = field(default_factory=list)
    subscribed: dict[str, dict[str, None]] = field(default_factory=dict)
    receiving: dict[str, set[str]] = field(default_factory=lambda: {channel: set() for channel in CHANNELS})
    live: set[str] = field(default_factory=set)
    unsubscribed: Counter[str] = field(default_factory=Counter)  # how often, by product
    close_code: int | None = None
    closed_by_client: bool = False
    muted: bool = False
    silent: set[str] = field(default_factory=set)
    broken: bool = False
    broken_books: set[str] = field(default_factory=set)
    backlog: list[tuple[str | None, bytes]] | None = None

    @property
    def open(self) -> bool:
        """Whether it is open, as far as the exchange knows."""
        return self.close_code is None

    def is_subscribed(self, channel: str, product: str) -> bool:
        """Whether it is subscribed to a product on a channel."""
        return product in self.subscribed.get(channel, ())

    def receives(self, product: str) -> bool:
        """Whether it is sent anything of what happens to a product."""
        return any(product in products for products in self.receiving.values())

    def subscribe(self, request: Request) -> None:
        """Add what a request asks for to the subscriptions."""
        for channel in request.channels:
            self.subscribed.setdefault(channel, {}).update(dict.fromkeys(request.products))

    def unsubscribe(self, request: Request) -> None:
        """Remove what a request names, or all of its channels, from the subscriptions."""
        for channel in request.channels:
            products = self.subscribed.get(channel, {})
            for product in request.products or list(products):
                products.pop(product, None)
                self.receiving[channel].discard(product)
                if channel == LEVEL2:
                    self._end_book(product)
            if not products:
                self.subscribed.pop(channel, None)

    def _end_book(self, product: str) -> None:
        self.unsubscribed[product] += 1
        for products in (self.live, self.silent, self.broken_books):
            products.discard(product)
