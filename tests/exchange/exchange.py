"""Simulated exchange: the feed's protocol on a loopback port, over real websockets.

    with Exchange(["BTC-EUR", "ETH-EUR"], rate=20) as exchange:
        ...  # a client connects to exchange.url

or, from a shell, `python -m tests.exchange`. It keeps its own true books and a record of what it sent, so
that a test can compare, and it fails on demand (see `faults`).
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, TypeVar

from tests.exchange import certificate
from tests.exchange.connection import Connection, Received, Sent
from tests.exchange.faults import BY_CHANCE
from tests.exchange.market import PRODUCTS, market
from tests.exchange.prepared import PreparedMarket
from tests.exchange.trades import Trade
from tests.exchange.trouble import FAULTS, Struck, by_chance
from tests.exchange.venue import Venue
from tests.support.waiting import wait_until

Answer = TypeVar("Answer")

DEADLINE = 10.0
"""Seconds within which the exchange starts, stops and answers a call, or the call raises."""


class Exchange:
    """The simulated exchange, running in a thread of its own between `with` and its end.

    Each product's market moves `rate` times a second, or, with a rate of 0, only by `step`: evenly, or,
    with a `tick` in seconds, all at each tick, when each connection is sent all of its products at once.
    Before every eighth move or so there are trades, which it covers.
    `levels` replaces the levels a side of every book, `changes` the number of changes an update.
    With `prepared` updates made beforehand, over which each market goes to and fro, sending costs less.
    With `tls` it speaks `wss`, with a certificate of its own (see `ca_file`). `compression` None turns
    deflate off; a client must subscribe within `subscribe_within` seconds, to `most_products` a request.
    `on_sent(product, sent)` is called in the exchange's thread for each frame just before it is sent, in
    place of keeping it in `sent`. With a `fault_seed`, one of `fault_names` (all but those that can't be
    got over) happens to a product each `fault_interval` seconds until `calm` is called.
    All methods may be called from any thread but the exchange's own.
    """

    def __init__(
        self,
        products: Sequence[str] = tuple(PRODUCTS),
        *,
        seed: int = 1,
        rate: float = 20.0,
        tick: float | None = None,
        levels: int | tuple[int, int] | None = None,
        changes: int | None = None,
        prepared: int = 0,
        port: int = 0,
        tls: bool = False,
        compression: str | None = "deflate",
        subscribe_within: float = 5.0,
        most_products: int | None = None,
        on_sent: Callable[[str, Sent], None] | None = None,
        clock: Callable[[], float] = time.time,
        fault_seed: int | None = None,
        fault_names: Sequence[str] = BY_CHANCE,
        fault_interval: float = 1.0,
    ) -> None:
        self.products = tuple(products)
        self.sent: dict[str, list[Sent]] = {product: [] for product in products}
        others: dict[str, Any] = {"kind": PreparedMarket, "prepared": prepared} if prepared else {}
        markets = {p: market(p, seed, levels, clock, changes=changes, **others) for p in products}
        self._venue = Venue(markets, rate, tick, on_sent or self._keep, subscribe_within, most_products)
        self._port, self._compression, self._tls = port, compression, tls
        self._folder: TemporaryDirectory[str] | None = None
        self._chance: asyncio.Task[None] | None = None
        self._fault_seed, self._fault_names = fault_seed, list(fault_names)
        self._fault_interval = fault_interval
        self._stop = asyncio.Event()
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)

    def __enter__(self) -> "Exchange":
        if self._tls:
            self._folder = TemporaryDirectory(prefix="exchange-")
        try:
            self._thread.start()
            self._loop = self._ready.result(DEADLINE)
        except BaseException:
            self._remove_folder()
            raise
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
        self._remove_folder()
        if self._thread.is_alive():
            raise TimeoutError("the exchange doesn't stop")

    def _remove_folder(self) -> None:
        if self._folder:
            self._folder.cleanup()

    # What can be asked

    @property
    def url(self) -> str:
        """Where it listens, the same after its listener was closed and opened again."""
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self._venue.listener.port}"

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority to trust, while the exchange runs with TLS."""
        if not self._folder:
            raise ValueError("an exchange without TLS has no certificate")
        return Path(self._folder.name, "ca.pem")

    @property
    def environment(self) -> dict[str, str]:
        """The variables that let a dataflow use this exchange: the feed's address, and whom to trust."""
        trusted = {"SSL_CERT_FILE": str(self.ca_file)} if self._tls else {}
        return trusted | {"ORDERBOOK_FEED_URL": self.url}

    @property
    def listening(self) -> bool:
        """Whether connects are not refused."""
        return self._call(lambda: self._venue.listener.listening)

    @property
    def connections(self) -> list[Connection]:
        """Every connection that finished its handshake, in order, closed ones too."""
        return list(self._venue.connections)

    @property
    def attempts(self) -> list[float]:
        """`time.monotonic()` of every TCP connect seen, whatever became of it."""
        return list(self._venue.listener.attempts)

    @property
    def requests(self) -> list[Received]:
        """Every request of a client, in order."""
        return list(self._venue.requests)

    def book(self, product: str) -> tuple[dict[float, float], dict[float, float]]:
        """The true book: bids and asks, sizes by price, best first."""
        return self._call(lambda: self._venue.markets[product].book())

    def best(self, product: str) -> tuple[float, float, float, float]:
        """Bid price and size, ask price and size, of the true book."""
        return self._call(lambda: self._venue.markets[product].best())

    def trades(self, product: str) -> list[Trade]:
        """All trades of a product so far, in order, whoever was sent them."""
        return self._call(lambda: self._venue.markets[product].trades())

    def live(self, product: str) -> list[Connection]:
        """The open connections that have had the product's snapshot."""
        return self._call(lambda: [c for c in self._venue.readers[product] if c.open and product in c.live])

    def wait(self, predicate: Callable[[], Answer], timeout: float) -> Answer:
        """Ask until the answer is true, and return it; `TimeoutError` after so many seconds."""
        return wait_until(predicate, timeout)

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
        self._call(self._venue.listener.close)
        if drop:
            self._call(self._venue.listener.drop_all)

    def open_listener(self) -> None:
        """Listen again, on the same port."""
        self._await(self._venue.listener.open())

    def away(self, seconds: float) -> None:
        """Drop all connections and refuse new ones for so many seconds; returns at once."""
        self.fault("connection_refused", seconds=seconds)
        self._call(self._venue.listener.drop_all)

    def fault(
        self, name: str, product: str | None = None, times: int = 1, seconds: float | None = None
    ) -> None:
        """Let a fault happen, so many times, to a product or to any; see `trouble.FAULTS`.

        One that has to wait for its moment does. Where a client should replace a connection or a book
        for a fault, the next one waits until it has. `seconds` is how long a fault takes, if not as usual.
        Faults that happened are in `struck`.
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
            tls = certificate.make(self.ca_file) if self._tls else None
            ready = partial(self._ready.set_result, loop)
            await self._venue.run(self._stop, ready, self._port, self._compression, tls)

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
