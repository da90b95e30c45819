"""A product's feed, listened to in the test's own process, and what should have been heard."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import Any

from orderbook.coinbase.messages import BookMessage, decode
from orderbook.feed.client import Doubt, FeedError, FeedSettings, ws_agen
from orderbook.feed.limiter import Pacer
from orderbook.metrics import FeedMetrics
from tests.exchange import Exchange
from tests.support.oracle import Oracle, decoded

PRODUCT = "BTC-EUR"
DEADLINE = 15.0  # seconds for what should take a moment


def quick() -> Generator[float]:
    """Delays for those who test something else."""
    while True:
        yield 0.01


class Hearing:
    """What a feed has said so far: messages, raw frames, and why it gave connections up."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, BookMessage]] = []
        self.frames: list[bytes] = []
        self.troubles: list[FeedError] = []
        self.metrics = FeedMetrics()
        self.doubt: Doubt | None = None
        self.task: asyncio.Task[None]


@asynccontextmanager
async def hearing(
    url: str,
    product: str = PRODUCT,
    *,
    pacer: Pacer | None = None,
    phase: float = 0.0,
    retry_delays: Callable[[], Generator[float]] = quick,
    **seconds: float,
) -> AsyncIterator[Hearing]:
    """Listen to a product's feed, and stop at the end of the `with` block."""
    heard = Hearing()

    async def listen() -> None:
        async for message in ws_agen(
            product,
            FeedSettings(url, retry_delays=retry_delays, **seconds),
            pacer or Pacer(rate=1_000),
            phase=phase,
            doubt=lambda: heard.doubt,
            metrics=heard.metrics,
            record=heard.frames.append,
            on_trouble=heard.troubles.append,
        ):
            heard.messages.append(message)

    heard.task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        heard.task.cancel()
        await asyncio.wait([heard.task])


async def until(true: Callable[[], Any], timeout: float = DEADLINE) -> None:
    """Wait until something is true; `TimeoutError` if it doesn't become so in time."""
    async with asyncio.timeout(timeout):
        while not true():
            await asyncio.sleep(0.005)


def live_on(exchange: Exchange, attempt: int) -> bool:
    """Whether the product is live on the connection of this attempt, counted from 1, or a later one."""
    made = exchange.attempts[attempt - 1 :]
    return bool(made) and any(connection.connected >= made[0] for connection in exchange.live(PRODUCT))


def handed_on(exchange: Exchange, product: str = PRODUCT) -> list[list[bytes]]:
    """What was sent and must be handed on, connection by connection: from a snapshot on, up to a lie."""
    oracles: dict[int, Oracle] = {}
    frames: dict[int, list[bytes]] = {}
    for sent in list(exchange.sent[product]):
        oracle = oracles.setdefault(sent.connection, Oracle(product))
        try:
            oracle.apply(sent.frame)
        except ValueError:
            oracle.live = False  # nothing that follows can be trusted
        if oracle.live and decoded(sent.frame)["type"] in ("snapshot", "l2update", "heartbeat"):
            frames.setdefault(sent.connection, []).append(sent.frame)
    return list(frames.values())


async def hear_all(exchange: Exchange, heard: Hearing) -> None:
    """Stop the market, and hear what was sent last; all that was heard is the truth then.

    Not for a connection that may be replaced meanwhile: its last frames may be lost with it.
    """
    exchange.pause()
    last = handed_on(exchange)[-1]
    await until(lambda: heard.frames.count(last[-1]) == last.count(last[-1]))
    assert_true(exchange, heard)


def assert_true(exchange: Exchange, heard: Hearing) -> None:
    """What was heard is what was sent, in order: of each connection all, up to some frame."""
    frames = list(heard.frames)
    assert heard.messages == [(PRODUCT, decode(frame)) for frame in frames]
    for connection in handed_on(exchange):
        same = takewhile(lambda pair: pair[0] == pair[1], zip(frames, connection, strict=False))
        del frames[: len(list(same))]
    assert frames == []
