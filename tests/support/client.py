"""Feed in the test's own process, and what it must hand on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import NamedTuple

import msgspec

from orderbook.coinbase.messages import Message, Status, Trade
from orderbook.feed.client import Feed
from orderbook.feed.errors import FeedError
from orderbook.feed.limiter import Limiter
from orderbook.feed.session import Session
from orderbook.feed.silence import Timeouts
from orderbook.feed.stats import FeedStats
from orderbook.feed.troubles import Troubles
from orderbook.feed.websocket import Policy
from orderbook.recording.line import decode_line, encode
from tests.exchange import Exchange
from tests.support.oracle import Oracle, decoded
from tests.support.waiting import until

TIMEOUTS = Timeouts(refresh=1e9)  # a renewal in the middle is a matter of the hour, and of other tests


def short_delays() -> Generator[float]:
    """Delays between attempts for a test of something else."""
    while True:
        yield 0.01


class Lost(NamedTuple):
    """A connection that was given up or not made: of which products, why, and the delay that follows."""

    product_ids: list[str]
    kind: type[FeedError]
    text: str
    delay: float


class NotedTroubles(Troubles):
    """Troubles that are noted, not logged; the errors themselves are not kept, nor what they refer to."""

    def __init__(self) -> None:
        super().__init__({})
        self.lost: list[Lost] = []

    def report(self, product_ids: Sequence[str], error: FeedError, delay: float) -> None:
        self.lost.append(Lost(list(product_ids), type(error), str(error), delay))


class Receiver:
    """A feed, what it has handed on so far, and why it gave connections up."""

    def __init__(
        self, session: Session, policy: Policy, stats: dict[str, FeedStats], troubles: NotedTroubles
    ) -> None:
        self.feed = Feed(session, policy)
        self.stats = stats
        self.messages: list[Message] = []
        self.frames: list[bytes] = []
        self.lost = troubles.lost
        self.task = asyncio.create_task(self._receive())

    async def _receive(self) -> None:
        async for message, frame in self.feed.ws_agen():
            self.messages.append(message)
            self.frames.append(frame)

    def frames_of(self, product: str) -> list[bytes]:
        """The frames of a product's book that were handed on, in order."""
        pairs = zip(self.messages, self.frames, strict=True)
        its = [(message, frame) for message, frame in pairs if message.product_id == product]
        return [frame for message, frame in its if not isinstance(message, Trade | Status)]


@asynccontextmanager
async def receiver(
    url: str,
    *products: str,
    timeouts: Timeouts = TIMEOUTS,
    offset: float = 0.0,
    connects: Limiter | None = None,
    requests: Limiter | None = None,
    open_timeout: float = 5.0,
    reconnect_delays: Callable[[], Generator[float]] = short_delays,
) -> AsyncIterator[Receiver]:
    """Receive these products on one connection after another, until the end of the `with` block."""
    troubles = NotedTroubles()
    unlimited = Limiter(rate=1e6)
    policy = Policy(
        url, connects or unlimited, requests or unlimited, troubles, open_timeout, reconnect_delays
    )
    stats = {product: FeedStats() for product in products}
    client = Receiver(Session(products, stats, timeouts, offset), policy, stats, troubles)
    try:
        yield client
    finally:
        client.task.cancel()
        await asyncio.wait([client.task])


def is_live(exchange: Exchange, *products: str, after: int = -1) -> bool:
    """Whether these products are live on one connection that is newer than the one of this number."""
    return any(
        connection.number > after and connection.live.issuperset(products)
        for connection in exchange.live(products[0])
    )


def handed_on(exchange: Exchange, product: str) -> list[list[bytes]]:
    """The frames that were sent and are to be handed on, subscription by subscription.

    Each from its snapshot on, up to one that can't be trusted.
    """
    oracles: dict[tuple[int, int], Oracle] = {}
    frames: dict[tuple[int, int], list[bytes]] = {}
    for sent in list(exchange.sent[product]):
        subscription = (sent.connection, sent.subscription)
        oracle = oracles.setdefault(subscription, Oracle(product))
        try:
            oracle.apply(sent.frame)
        except ValueError:
            oracle.live = False  # nothing that follows can be trusted
        if oracle.live and decoded(sent.frame)["type"] in ("snapshot", "l2update", "heartbeat"):
            frames.setdefault(subscription, []).append(sent.frame)
    return list(frames.values())


def as_sent(message: Message) -> Message:
    """A message as its frame alone has it: nobody knows when that arrived."""
    return msgspec.structs.replace(message, local_timestamp=None)


async def receive_all(exchange: Exchange, client: Receiver, *products: str) -> None:
    """Stop the market, and wait for what was sent last; then check all that was handed on.

    Not for a connection that may be replaced meanwhile: its last frames may be lost with it.
    """
    exchange.pause()
    for product in products:
        last = handed_on(exchange, product)[-1]
        frame, times = last[-1], last.count(last[-1])
        await until(lambda frame=frame, times=times: client.frames.count(frame) == times)  # type: ignore[misc]
    check(exchange, client, *products)


def check(exchange: Exchange, client: Receiver, *products: str) -> None:
    """Assert that what was handed on of each product is what was sent, in order.

    Of each subscription it is all, up to some frame, from the snapshot on.
    """
    for message, frame in zip(client.messages, client.frames, strict=True):
        assert message.local_timestamp
        assert decode_line(encode(frame, message.local_timestamp)) == message
    for product in products:
        frames = client.frames_of(product)
        for subscription in handed_on(exchange, product):
            same = takewhile(lambda pair: pair[0] == pair[1], zip(frames, subscription, strict=False))
            del frames[: len(list(same))]
        assert frames == []
