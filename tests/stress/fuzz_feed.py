"""Fuzz of the feed over a real websocket: hostile frames by the thousand, and it gives up or goes on.

Run it long by `python -m tests.stress.fuzz_feed 100000` (a number of frames, then, if wanted, a seed). A
server sends good snapshots and, in between, answers of the exchange and frames as `tests.stress.fuzz` makes
them, until one that must end the connection. It prints how often each outcome came, and exits with 1 where
a connection was left too early, too late or for another reason, where a message was handed on that is not
one of those sent or that the book refuses, or where nothing happened for too long.
"""

import asyncio
import gc
import json
import logging
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from itertools import count
from random import Random

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from orderbook.book import OrderBookState
from orderbook.coinbase.exchange import Error, Subscriptions, decode
from orderbook.coinbase.messages import BadFrame, Message, Snapshot, Status, Trade
from orderbook.feed.client import Feed
from orderbook.feed.errors import Closed, FeedError, Refused, Rejected
from orderbook.feed.limiter import Limiter
from orderbook.feed.product import RESYNC_WINDOW
from orderbook.feed.session import Session
from orderbook.feed.silence import Timeouts
from orderbook.feed.stats import FeedStats
from orderbook.feed.troubles import Troubles
from orderbook.feed.websocket import Policy
from tests.exchange.market import Market
from tests.stress.fuzz import mutants
from tests.stress.report import report
from tests.support.client import as_sent

PRODUCT = "BTC-USD"
DEADLINE = 10.0  # seconds for a connection, of which most take milliseconds
STALE_AFTER = 2.0  # seconds; a connection that ends by this ended too late
ENOUGH = 5  # wrongs, after which no more are looked for
LONGEST_WARNING = 600  # characters
SNAPSHOT_EVERY = 20  # frames
ANSWERS = [
    b'{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["BTC-USD"]}]}',
    b'{"type":"subscriptions","channels":[{"name":"heartbeat","product_ids":["BTC-USD"]}]}',
    b'{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["ELSE-WHERE"]}]}',
    b'{"type":"error","message":"Failed to subscribe","reason":"BTC-USD is not a valid product"}',
    b'{"type":"error","message":"Failed to subscribe","reason":"Internal error"}',
]


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock is put ahead between connections, so that no resync counts for the next."""

    skipped = 0.0

    def time(self) -> float:
        """Seconds of the monotonic clock, and those that were skipped."""
        return super().time() + self.skipped

    def skip(self) -> Generator[float]:
        """Delays between attempts: none, but the clock is put ahead."""
        while True:
            self.skipped += RESYNC_WINDOW + 1
            yield 0.0


class Expected:
    """The rules of one connection with one product: what must come of each frame, and what came so far."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.frames = 0  # of the product
        self.resyncs: Counter[str] = Counter()
        self.end: type[FeedError] | None = None
        self.is_asked = False  # whether the client must subscribe again before it takes a snapshot
        self._live = self._listed = False
        self._pending = True  # a subscribe is not answered yet

    def apply(self, frame: bytes) -> None:
        """The frame is about to be sent."""
        try:
            message = decode(frame)
        except BadFrame:
            return self._give_up(Rejected)
        if isinstance(message, Message):
            self._apply_message(message)
        elif isinstance(message, Subscriptions):
            books = message.books()
            if books - {PRODUCT}:
                self._give_up(Rejected)
            elif books:
                self._listed, self._pending = True, False
            elif self._listed:
                self._subscribe_anew(Closed)
        elif isinstance(message, Error):
            if self._pending:
                self._subscribe_anew(Refused)
            else:
                self._give_up(Refused)
        return None

    def _apply_message(self, message: Message) -> None:
        if message.product_id != PRODUCT:
            return self._give_up(Rejected)
        self.frames += 1
        if isinstance(message, Snapshot):
            self._live, self._pending = True, False
        if self._live or isinstance(message, Trade):
            self.messages.append(message)
        return None

    def _subscribe_anew(self, error: type[FeedError]) -> None:
        if self.resyncs:  # a second time on one connection
            return self._give_up(error)
        self.resyncs[error.reason] += 1
        self._live = self._listed = False
        self._pending = self.is_asked = True
        return None

    def _give_up(self, error: type[FeedError]) -> None:
        self.end = error
        self.resyncs[error.reason] += 1


class Trial(logging.Handler):
    """The frames of each connection, what must come of them, what came, and the difference."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.hostile = 0  # frames sent so far, without the snapshots and answers between them
        self.over = False
        self.judged: asyncio.Queue[None] = asyncio.Queue()
        self.stats = FeedStats()
        self.last = b""
        self._random = Random(seed)
        self._mutants = mutants(Random(seed))
        self._snapshot = Market(PRODUCT, seed, levels=8, mid=600, spread_ticks=8, gap_ticks=4).snapshot()
        self._expected = Expected()
        self._frames = 0  # of all connections before
        self._messages: list[Message] = []
        self._resyncs: Counter[str] = Counter()

    def _script(self) -> Iterator[bytes]:
        """Hostile frames, answers that fit or don't, and now and then a good snapshot, mostly first."""
        late = bool(self.counts) and self._random.random() < 0.2
        first = self._random.randrange(1, 4) if late else 0
        for place in count():
            if place % SNAPSHOT_EVERY == first:
                yield self._snapshot
            elif self._random.random() < 0.3:
                yield self._random.choices(ANSWERS, weights=[4, 3, 1, 1, 1])[0]
            else:
                self.hostile += 1
                # The captures are of two products: mostly make one of them.
                yield next(self._mutants).replace(b'"ETH-USD"', b'"BTC-USD"')

    async def serve(self, websocket: ServerConnection) -> None:
        """Judge the connection before this one, which has ended by now, and send this one's frames."""
        self._judge()
        expected = self._expected = Expected()
        try:
            await self._await_subscribe(websocket)
            for frame in self._script():
                self.last = frame
                expected.apply(frame)
                await websocket.send(frame, text=self._random.random() < 0.9)
                if expected.end:
                    break
                if expected.is_asked:
                    expected.is_asked = False
                    await self._await_subscribe(websocket)
        except ConnectionClosed:
            if not self.over:
                self.wrong.append(f"left too early, after {self.last[:300]!r}")
        await websocket.wait_closed()

    async def _await_subscribe(self, websocket: ServerConnection) -> None:
        request = json.loads(await websocket.recv())
        if request["type"] != "subscribe" or request["product_ids"] != [PRODUCT]:
            self.wrong.append(f"requested {request}, after {self.last[:300]!r}")

    async def receive(self, url: str, loop: SkippingLoop) -> None:
        """Receive all of it, and keep a book by it."""
        stats = {PRODUCT: self.stats}
        session = Session([PRODUCT], stats, Timeouts(stale_after=STALE_AFTER, refresh=1e9))
        unlimited = Limiter(rate=1e6, burst=10**6)
        policy = Policy(url, unlimited, unlimited, Troubles(stats, every=0.0), reconnect_delays=loop.skip)
        book = OrderBookState()
        async for message, _frame in Feed(session, policy).ws_agen():
            if not isinstance(message, Status):  # the feed's own
                self._messages.append(as_sent(message))
            book.update(message)
            book.summarize()
            book.check()

    def _judge(self) -> None:
        expected, resyncs = self._expected, self.stats.resyncs - self._resyncs
        if not expected.end:  # there was none before, or it was left too early
            return
        self.counts.update(type(message).__name__ for message in self._messages)
        self.counts.update(resyncs)
        self._frames += expected.frames
        if self.stats.frames != self._frames:
            self.wrong.append(f"{self.stats.frames} of {self._frames} frames, up to {self.last[:300]!r}")
        if self._messages != expected.messages:
            self.wrong.append(f"handed on what wasn't sent, before {self.last[:300]!r}")
        if resyncs != expected.resyncs:
            reasons = f"{dict(resyncs)}, not {dict(expected.resyncs)}"
            self.wrong.append(f"given up for {reasons}, after {self.last[:300]!r}")
        self._messages.clear()
        self._resyncs = self.stats.resyncs.copy()
        self.judged.put_nowait(None)

    def emit(self, record: logging.LogRecord) -> None:
        """Judge a warning: nothing that comes over the wire may make it long or break it into lines."""
        text = record.getMessage()
        if len(text) > LONGEST_WARNING or not text.isprintable():
            self.wrong.append(f"a warning of {len(text)} characters: {text[:300]!r}")


def fuzz(rounds: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Send so many hostile frames; returns how often each outcome came, and what must not happen."""
    trial = Trial(seed)
    log = logging.getLogger("orderbook.feed")
    log.addHandler(trial)
    propagated, log.propagate = log.propagate, False  # a warning a connection is too many to read
    gc.freeze()  # as `dataflow.py` does: the feed looks for garbage after each connection
    loop = SkippingLoop()
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(_run(trial, rounds, loop))
    finally:
        gc.unfreeze()
        log.removeHandler(trial)
        log.propagate = propagated
    trial.counts["connections"] = trial.stats.connects
    trial.counts["hostile frames"] = trial.hostile
    return trial.counts, trial.wrong


async def _run(trial: Trial, rounds: int, loop: SkippingLoop) -> None:
    async with serve(trial.serve, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        receiving = loop.create_task(trial.receive(f"ws://127.0.0.1:{port}", loop))
        timeout = DEADLINE + RESYNC_WINDOW + 1  # the clock is put ahead once a connection
        try:
            while trial.hostile < rounds and len(trial.wrong) < ENOUGH:
                await asyncio.wait_for(trial.judged.get(), timeout)
        except TimeoutError:
            trial.wrong.append(f"no connection ended within {DEADLINE:g} s, after {trial.last[:300]!r}")
        trial.over = True
        receiving.cancel()
        (ended,) = await asyncio.gather(receiving, return_exceptions=True)
        if not isinstance(ended, asyncio.CancelledError):
            trial.wrong.append(f"the feed ended: {ended!r}, after {trial.last[:300]!r}")


if __name__ == "__main__":
    sys.exit(report(fuzz, rounds=100_000))
