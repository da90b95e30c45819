"""Order book in the tutorial's way, in other words: JSON, a dict a side, `min` or `max` after each change.

Fed from a file as a contender, or live from the exchange by `batch_async` of half a second or 100
messages. In two things it is better than the tutorial, or it would not get far: it takes frames of any
size, and it leaves out the messages that say nothing of a book.
"""

import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.stdio import StdOutSink
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition, batch_async
from websockets.asyncio.client import connect

Message = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """The top of a book."""

    bid_price: float
    bid_size: float
    ask_price: float
    ask_size: float
    spread: float


class Book:
    """A book whose best prices are looked for among all levels after each change."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[float, float]] = {"buy": {}, "sell": {}}
        self.bid = self.ask = 0.0

    def apply(self, message: Message) -> Summary:
        """Bring the book up to date."""
        for side, name in (("buy", "bids"), ("sell", "asks")):
            if not self.sides[side]:
                self.sides[side] = {float(price): float(size) for price, size in message[name]}
                self._find_best(side)
        for side, price_text, size_text in message.get("changes", ()):
            price, size = float(price_text), float(size_text)
            if size:
                self.sides[side][price] = size
            else:
                self.sides[side].pop(price, None)
            self._find_best(side)
        bids, asks = self.sides["buy"], self.sides["sell"]
        return Summary(self.bid, bids[self.bid], self.ask, asks[self.ask], self.ask - self.bid)

    def _find_best(self, side: str) -> None:
        if side == "buy":
            self.bid = max(self.sides[side])
        else:
            self.ask = min(self.sides[side])


def step(book: Book | None, message: Message) -> tuple[Book, Summary]:
    """The stateful step."""
    book = book or Book()
    return book, book.apply(message)


class Part(StatefulSourcePartition[tuple[str, Any], None]):
    """Batches that come out of an iterator."""

    def __init__(self, batches: Iterator[list[tuple[str, Any]]]) -> None:
        self._batches = batches

    def next_batch(self) -> list[tuple[str, Any]]:
        return next(self._batches)

    def snapshot(self) -> None:
        """Nothing is kept."""


class File(FixedPartitionedSource[tuple[str, Message], None]):
    """A recording."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def list_parts(self) -> list[str]:
        return ["file"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Part:
        return Part(self._batches())

    def _batches(self) -> Iterator[list[tuple[str, Message]]]:
        with self._path.open("rb") as lines:
            messages = (json.loads(line) for line in lines)
            books = ((m["product_id"], m) for m in messages if m["type"] in ("snapshot", "l2update"))
            while batch := list(islice(books, 100)):
                yield batch


class Live(FixedPartitionedSource[tuple[str, Message], None]):
    """A websocket a product."""

    def list_parts(self) -> list[str]:
        return os.environ["ORDERBOOK_PRODUCTS"].split(",")

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Part:
        return Part(batch_async(self._messages(for_part), timedelta(seconds=0.5), 100))

    async def _messages(self, product: str) -> AsyncIterator[tuple[str, Message]]:
        request = {"type": "subscribe", "product_ids": [product], "channels": ["level2_batch"]}
        async with connect(os.environ["ORDERBOOK_FEED_URL"], max_size=None) as websocket:
            await websocket.send(json.dumps(request))
            async for frame in websocket:
                message = json.loads(frame)
                if message["type"] in ("snapshot", "l2update"):
                    yield product, message


def dataflow(source: FixedPartitionedSource[tuple[str, Message], None]) -> Dataflow:
    """The tutorial's steps; like the tutorial's, its output is not filtered."""
    flow = Dataflow("tutorial")
    books = op.stateful_map("orderbook", op.input("input", flow, source), step)
    op.filter("big_spread", books, lambda item: item[1].spread / item[1].ask_price > 0.0001)
    op.output("out", books, StdOutSink())
    return flow


def live() -> Dataflow:
    """Its dataflow on the feed that the environment names."""
    return dataflow(Live())
