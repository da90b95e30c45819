"""Hostile frames by the thousand, over a real websocket: whatever comes, the feed gives up or goes on.

Run it long by `python -m tests.stress.fuzz_feed 100000` (a number of frames, then, if wanted, a seed). A
server says good snapshots and, in between, frames as
`tests.stress.fuzz` makes them, until one that must end the
connection. It prints what became of them, and exits with 1 where a connection was left too early, too
late or for another reason, where something was handed on that `decode` doesn't make of what was sent,
that the book doesn't take, or where nothing happened for too long.
"""

import asyncio
import gc
import logging
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator
from itertools import count
from random import Random

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from orderbook.book import OrderBookState
from orderbook.coinbase.messages import BadFrame, BookMessage, Error, Snapshot, decode
from orderbook.feed.client import FeedError, FeedSettings, Refused, Rejected, ws_agen
from orderbook.feed.limiter import Pacer
from orderbook.metrics import FeedMetrics
from tests.exchange.market import Market
from tests.stress.fuzz import mutants

PRODUCT = "BTC-USD"
DEADLINE = 10.0  # seconds for a connection, of which most take milliseconds
STALE_AFTER = 2.0  # seconds; a connection that ends by this ended too late
ENOUGH = 5  # wrongs, after which no more are looked for
LONGEST_WARNING = 600  # characters
SNAPSHOT_EVERY = 20  # frames


def at_once() -> Generator[float]:
    """No time between attempts."""
    while True:
        yield 0.0


def verdict(frame: bytes) -> type[FeedError] | BookMessage | None:
    """What must come of a frame: an end of the connection, a message, or nothing."""
    try:
        message = decode(frame)
    except BadFrame:
        return Rejected
    if isinstance(message, BookMessage):
        return message if message.product_id == PRODUCT else Rejected
    return Refused if isinstance(message, Error) else None


class Trial(logging.Handler):
    """What is said on each connection, what is heard of it, and the difference."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.hostile = 0  # frames said so far, snapshots between them not counted
        self.over = False
        self.judged: asyncio.Queue[None] = asyncio.Queue()
        self.metrics = FeedMetrics()
        self._random = Random(seed)
        self._mutants = mutants(Random(seed))
        self._snapshot = Market(PRODUCT, seed, levels=8, mid=600, spread_ticks=8, gap_ticks=4).snapshot()
        self._wanted: list[BookMessage] = []
        self._heard: list[BookMessage] = []
        self._reason: type[FeedError] | None = None
        self._reasons: list[FeedError] = []
        self.last = b""
        self._said = 0  # frames, on all connections

    def _script(self) -> Iterator[bytes]:
        """Hostile frames, and now and then a good snapshot, mostly first."""
        late = bool(self.counts) and self._random.random() < 0.2
        first = self._random.randrange(1, 4) if late else 0
        for place in count():
            if place % SNAPSHOT_EVERY == first:
                yield self._snapshot
            else:
                self.hostile += 1
                # The captures are of two products: mostly make one of them.
                yield next(self._mutants).replace(b'"ETH-USD"', b'"BTC-USD"')

    async def attend(self, websocket: ServerConnection) -> None:
        """Judge the connection before this one, whose end is known by now, and say this one's frames."""
        self._judge()
        synced = False
        try:
            await websocket.recv()
            for frame in self._script():
                self.last = frame
                self._said += 1
                await websocket.send(frame, text=self._random.random() < 0.9)
                outcome = verdict(frame)
                if isinstance(outcome, type):
                    self._reason = outcome
                    break
                synced = synced or isinstance(outcome, Snapshot)
                if outcome and synced:
                    self._wanted.append(outcome)
        except ConnectionClosed:
            if not self.over:
                self.wrong.append(f"left too early, after {self.last[:300]!r}")
        await websocket.wait_closed()

    async def listen(self, url: str) -> None:
        """Hear it all, and bring a book up to date with it."""
        settings = FeedSettings(url, stale_after=STALE_AFTER, retry_delays=at_once)
        feed = ws_agen(
            PRODUCT,
            settings,
            Pacer(rate=1e6, burst=10**6),
            metrics=self.metrics,
            on_trouble=self._reasons.append,
        )
        book = OrderBookState()
        async for _product, message in feed:
            self._heard.append(message)
            book.update(message)
            book.summarize()
            book.check()

    def _judge(self) -> None:
        if not self._reason:  # there was none before, or it was left too early
            return
        for message in self._heard:
            self.counts[type(message).__name__] += 1
        for reason in self._reasons:
            self.counts[type(reason).__name__] += 1
        if self.metrics.frames != self._said:
            self.wrong.append(
                f"{self.metrics.frames} of {self._said} frames taken, up to {self.last[:300]!r}"
            )
        if self._heard != self._wanted:
            self.wrong.append(f"handed on what wasn't sent, before {self.last[:300]!r}")
        if len(self._reasons) != 1 or not isinstance(self._reasons[0], self._reason):
            self.wrong.append(f"given up as {self._reasons}, after {self.last[:300]!r}")
        self._wanted.clear()
        self._heard.clear()
        self._reasons.clear()
        self._reason = None
        self.judged.put_nowait(None)

    def emit(self, record: logging.LogRecord) -> None:
        """A warning, which nothing that comes over the wire may make long or tear into lines."""
        text = record.getMessage()
        if len(text) > LONGEST_WARNING or not text.isprintable():
            self.wrong.append(f"a warning of {len(text)} characters: {text[:300]!r}")


async def fuzz(rounds: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Say so many hostile frames; how often each kind of answer came, and what must not happen."""
    gc.freeze()  # as `dataflow.py` does: the feed looks for garbage after each connection
    trial = Trial(seed)
    log = logging.getLogger("orderbook.feed")
    log.addHandler(trial)
    propagated, log.propagate = log.propagate, False  # a warning a connection is too many to read
    try:
        async with serve(trial.attend, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            port = server.sockets[0].getsockname()[1]
            listening = asyncio.create_task(trial.listen(f"ws://127.0.0.1:{port}"))
            try:
                while trial.hostile < rounds and len(trial.wrong) < ENOUGH:
                    await asyncio.wait_for(trial.judged.get(), DEADLINE)
            except TimeoutError:
                trial.wrong.append(f"nothing for {DEADLINE:g} s, after {trial.last[:300]!r}")
            trial.over = True
            listening.cancel()
            (ended,) = await asyncio.gather(listening, return_exceptions=True)
            if not isinstance(ended, asyncio.CancelledError):
                trial.wrong.append(f"the feed ended: {ended!r}, after {trial.last[:300]!r}")
    finally:
        gc.unfreeze()
        log.removeHandler(trial)
        log.propagate = propagated
    trial.counts["connections"] = trial.metrics.connects
    trial.counts["hostile frames"] = trial.hostile
    return trial.counts, trial.wrong


def main(rounds: str = "100000", seed: str = "1") -> int:
    began = time.perf_counter()
    counts, wrong = asyncio.run(fuzz(int(rounds), int(seed)))
    for outcome, number in counts.most_common():
        print(f"{number:>10,} {outcome}")
    print(f"{time.perf_counter() - began:.1f} s, {len(wrong)} wrong")
    for what in wrong:
        print(what)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
