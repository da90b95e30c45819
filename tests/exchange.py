"""A simulated exchange: the feed's protocol on a loopback port, over real websockets.

    with Exchange(["BTC-EUR", "ETH-EUR"], rate=20) as exchange:
        ...  # a client connects to exchange.url

or, from a shell, `python -m tests.exchange`. It keeps its own true books and a transcript of
what it sent, so a test can ask what the answer is, and it fails on demand (see `faults`).
"""

import argparse
import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import IO, Any, TypeVar

from tests.simulated.connection import Connection, Sent
from tests.simulated.faults import BY_CHANCE
from tests.simulated.market import PRODUCTS, market
from tests.simulated.trouble import FAULTS, Struck, by_chance
from tests.simulated.venue import Venue

Answer = TypeVar("Answer")

DEADLINE = 10.0
"""Seconds within which the exchange starts, stops and answers a call, or the call raises."""


class Exchange:
    """The simulated exchange, running in a thread of its own between `with` and its end.

    Each product's market moves `rate` times a second, or, with a rate of 0, only by `step`.
    `levels` replaces the levels a side of every book, `changes` the number of changes an update.
    `compression` None turns deflate off; a client must subscribe within `subscribe_within`
    seconds. `on_sent(product, sent)` is called in the exchange's thread for each frame sent in
    place of keeping it in `sent`. With a `fault_seed`, one of `fault_names` (all but those that
    can't be got over) happens to a product each `fault_interval` seconds until `calm` is called.
    All methods may be called from any thread but the exchange's own.
    """

    def __init__(
        self,
        products: Sequence[str] = tuple(PRODUCTS),
        *,
        seed: int = 1,
        rate: float = 20.0,
        levels: int | tuple[int, int] | None = None,
        changes: int | None = None,
        port: int = 0,
        compression: str | None = "deflate",
        subscribe_within: float = 5.0,
        on_sent: Callable[[str, Sent], None] | None = None,
        clock: Callable[[], float] = time.time,
        fault_seed: int | None = None,
        fault_names: Sequence[str] = BY_CHANCE,
        fault_interval: float = 1.0,
    ) -> None:
        self.products = tuple(products)
        self.sent: dict[str, list[Sent]] = {product: [] for product in products}
        markets = {p: market(p, seed, levels, clock, changes=changes) for p in products}
        self._venue = Venue(markets, rate, on_sent or self._keep, port, compression, subscribe_within)
        self._chance: asyncio.Task[None] | None = None
        self._fault_seed, self._fault_names = fault_seed, list(fault_names)
        self._fault_interval = fault_interval
        self._stop = asyncio.Event()
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)

    def __enter__(self) -> "Exchange":
        self._thread.start()
        self._loop = self._ready.result(DEADLINE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Close every connection with 1001 and end; nothing to do if it has ended already."""
        with suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE)
        if self._thread.is_alive():
            raise TimeoutError("the exchange doesn't stop")

    # What can be asked

    @property
    def url(self) -> str:
        """Where it listens, the same after its listener was closed and opened again."""
        return f"ws://127.0.0.1:{self._venue.port}"

    @property
    def listening(self) -> bool:
        """Whether connects are not refused."""
        return self._call(lambda: self._venue.listening)

    @property
    def connections(self) -> list[Connection]:
        """Every connection that finished its handshake, in order, closed ones too."""
        return list(self._venue.connections)

    @property
    def attempts(self) -> list[float]:
        """`time.monotonic()` of every TCP connect seen, whatever became of it."""
        return list(self._venue.attempts)

    def book(self, product: str) -> tuple[dict[float, float], dict[float, float]]:
        """The true book: bids and asks, sizes by price, best first."""
        return self._call(lambda: self._venue.markets[product].book())

    def best(self, product: str) -> tuple[float, float, float, float]:
        """Bid price and size, ask price and size, of the true book."""
        return self._call(lambda: self._venue.markets[product].best())

    def live(self, product: str) -> list[Connection]:
        """The open connections that have had the product's snapshot."""
        return self._call(lambda: [c for c in self._venue.readers[product] if c.open and product in c.live])

    def wait(self, predicate: Callable[[], Answer], timeout: float) -> Answer:
        """Ask until the answer is true, and return it; `TimeoutError` after so many seconds."""
        deadline = time.monotonic() + timeout
        while not (answer := predicate()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so within {timeout} s")
            time.sleep(0.005)
        return answer

    # What can be done

    def step(self, product: str, n: int = 1) -> None:
        """Move a product's market by `n` updates, and send them."""

        def steps() -> None:
            for _ in range(n):
                self._venue.step(product)

        self._call(steps)

    def pause(self, *products: str) -> None:
        """Let the markets of the products, or of all, stand still; heartbeats go on."""
        self._call(lambda: self._venue.paused.update(products or self.products))

    def resume(self, *products: str) -> None:
        """Let the markets of the products, or of all, move again."""
        self._call(lambda: self._venue.paused.difference_update(products or self.products))

    def close_listener(self, drop: bool = False) -> None:
        """Refuse connects from now on, and `drop` all connections if asked."""
        self._call(self._venue.close_listener)
        if drop:
            self._call(self._venue.drop_all)

    def open_listener(self) -> None:
        """Listen again, on the same port."""
        self._await(self._venue.open_listener())

    def away(self, seconds: float) -> None:
        """Drop all connections and refuse new ones for so many seconds; returns at once."""
        self.fault("connection_refused", seconds=seconds)
        self._call(self._venue.drop_all)

    def fault(
        self, name: str, product: str | None = None, times: int = 1, seconds: float | None = None
    ) -> None:
        """Let a fault happen, so many times, to a product or to any; see `faults.FAULTS`.

        One that has to wait for its moment does. A connection that a client should leave for
        a fault isn't given another: the next time happens to the next connection. `seconds`
        is how long it takes, if not as usual. `struck` says what happened and when.
        """
        if product is not None and product not in self.products:
            raise ValueError(f"{product} is not listed")

        async def expect() -> None:
            for _ in range(times):
                self._venue.trouble.expect(FAULTS[name], product, seconds)
            await asyncio.sleep(0)  # what happens at once has happened when this returns

        self._await(expect())

    @property
    def struck(self) -> list[Struck]:
        """The faults that happened, in order."""
        return list(self._venue.trouble.struck)

    def calm(self) -> None:
        """No more faults: neither by chance nor those that still wait."""
        if self._chance:
            self._call(self._chance.cancel)
        self._call(self._venue.trouble.waiting.clear)

    def _run(self) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            if self._fault_seed is not None:
                chance = by_chance(self._venue, self._fault_seed, self._fault_names, self._fault_interval)
                self._chance = self._venue.spawn(chance)
            await self._venue.run(self._stop, lambda: self._ready.set_result(loop))

        try:
            asyncio.run(main())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    def _call(self, function: Callable[[], Answer]) -> Answer:
        """Do something in the exchange's loop, while there is one, and return what it returns."""
        if not self._thread.is_alive():
            return function()

        async def call() -> Answer:
            return function()

        return self._await(call())

    def _await(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    def _keep(self, product: str, sent: Sent) -> None:
        self.sent[product].append(sent)


def log_to(file: IO[str]) -> Callable[[str, Sent], None]:
    """What to do with a frame sent so that its product, time and type become a line of a file."""

    def log(product: str, sent: Sent) -> None:
        kind = sent.frame[9 : sent.frame.find(b'"', 9)].decode(errors="replace")
        file.write(f"{product} {sent.when:.6f} {kind}\n")

    return log


def discard(product: str, sent: Sent) -> None:
    """Keep no record of a frame sent."""


def main() -> None:
    """Serve from a shell until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.exchange", description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--products", default=",".join(PRODUCTS), help="comma-separated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=20.0, help="updates a second a product")
    parser.add_argument("--levels", type=int, help="levels a side of every book")
    parser.add_argument("--changes", type=int, help="changes an update")
    parser.add_argument("--compression", choices=["deflate", "none"], default="deflate")
    parser.add_argument("--faults", type=int, metavar="SEED", help="faults by chance")
    parser.add_argument("--fault-interval", type=float, default=1.0, help="seconds")
    parser.add_argument("--log", metavar="FILE", help="append product, time, type of each frame")
    options = parser.parse_args()
    # Blocked before any thread starts, so that only sigwait below ever gets them.
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with ExitStack() as stack:
        log = stack.enter_context(open(options.log, "a")) if options.log else None
        exchange = Exchange(
            options.products.split(","),
            seed=options.seed,
            rate=options.rate,
            levels=options.levels,
            changes=options.changes,
            port=options.port,
            compression=None if options.compression == "none" else options.compression,
            on_sent=log_to(log) if log else discard,
            fault_seed=options.faults,
            fault_interval=options.fault_interval,
        )
        try:
            stack.enter_context(exchange)
        except OSError as error:
            raise SystemExit(f"port {options.port}: {error.strerror}") from None
        settings = f"ORDERBOOK_FEED_URL={exchange.url}"
        if options.products != parser.get_default("products"):
            settings += f" ORDERBOOK_PRODUCTS={options.products}"
        print(f"listening on {exchange.url}; to run the dataflow against it:", file=sys.stderr)
        print(f"{settings} python -m bytewax.run dataflow:flow", file=sys.stderr, flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
