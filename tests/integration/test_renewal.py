"""What is handed on where a renewed connection takes over, against an exchange that follows a script."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from orderbook.coinbase.messages import L2Update, Snapshot, Status, Trade
from orderbook.feed.silence import Timeouts
from tests.support.client import Receiver, receiver
from tests.support.waiting import DEADLINE, until

REFRESH = 1_000.0
SOON = 0.3  # seconds from the first connection to the next


def frame(kind: str, product: str, second: int, **more: object) -> str:
    """A frame of a product that happened in this second."""
    at = f"2026-11-24T10:00:{second:02}.000000Z"
    return json.dumps({"type": kind, "product_id": product, "time": at} | more)


class Script:
    """An exchange whose first connection has snapshots of second 1, and the next one those of second 5."""

    def __init__(self, products: tuple[str, ...]) -> None:
        self.products = products
        self.sockets: list[ServerConnection] = []
        self.renewed = asyncio.Event()  # the snapshots of the second connection have arrived

    async def answer(self, socket: ServerConnection) -> None:
        """Send the snapshots of a connection, and no more of itself."""
        self.sockets.append(socket)
        is_first = len(self.sockets) == 1
        await socket.recv()
        for product in self.products:
            levels = {"bids": [["1", "1"]], "asks": [["2", "1"]]}
            await socket.send(frame("snapshot", product, 1 if is_first else 5, **levels))
        if not is_first:
            await (await socket.ping())
            self.renewed.set()
        with suppress(ConnectionClosed):
            async for _request in socket:
                pass


@asynccontextmanager
async def renewed(*products: str) -> AsyncIterator[tuple[ServerConnection, Receiver]]:
    """The first connection and the client, once a second one is there that may take over."""
    script = Script(products)
    async with serve(script.answer, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        offset = (time.monotonic() + SOON) / REFRESH % 1
        timeouts = Timeouts(refresh=REFRESH)
        async with receiver(url, *products, timeouts=timeouts, offset=offset) as client:
            async with asyncio.timeout(DEADLINE):
                await script.renewed.wait()
            yield script.sockets[0], client


def assert_in_order(client: Receiver) -> None:
    """No arrival goes back, though what the new connection brings was kept for a while."""
    arrivals = [message.local_timestamp or 0 for message in client.messages]
    assert arrivals == sorted(arrivals)


def test_trade_is_no_progress_of_the_book() -> None:
    """The old connection goes on until it has brought the update that the new snapshot contains.

    A trade of that moment, which comes before its update, is not enough.
    """

    async def scenario() -> None:
        async with renewed("A-USD") as (old, client):
            trade = {"trade_id": 7, "side": "buy", "price": "2", "size": "1"}
            await old.send(frame("match", "A-USD", 5, **trade))
            await old.send(frame("l2update", "A-USD", 5, changes=[["sell", "2", "3"]]))
            await until(lambda: len(client.messages) == 4)
            assert [type(message) for message in client.messages] == [Snapshot, Trade, L2Update, Snapshot]
            assert_in_order(client)

    asyncio.run(scenario())


def test_break_of_the_old_connection() -> None:
    """A stream that broke off on the old connection is told as such before the new connection's snapshot.

    That is so where the old one is lost before another frame of it comes.
    """

    async def scenario() -> None:
        async with renewed("A-USD", "B-USD") as (old, client):
            client.feed.resync("B-USD", asyncio.get_running_loop().time(), "crossed for 2.0 s")
            old.transport.abort()
            await until(lambda: len(client.messages) == 5)
            told = [(type(message), message.product_id) for message in client.messages]
            snapshots = [(Snapshot, "A-USD"), (Snapshot, "B-USD")]
            assert told == [*snapshots, (Status, "B-USD"), *snapshots]
            assert_in_order(client)

    asyncio.run(scenario())
