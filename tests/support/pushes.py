"""Invented pushes: random books as the page's server would push them, served with the page, as fast as asked.

    with Pushes(names(40), rate=200, second=0.1) as pushes:
        ...  # a browser opens pushes.url

Here time runs faster than on the wall, which the real server's clock can't. What is asked for but `book` is
passed over: each frame has a quarter of the products and the whole book.
"""

import asyncio
import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from orderbook.page import __path__ as folders
from tests.support.waiting import DEADLINE

STATIC = Path(folders[0], "static")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
START = 1_790_000_000.0  # seconds since 1970
LEVELS = 100


class Pushes:
    """Serves the page and frames, `rate` a second, between which `second` seconds pass on its clock."""

    def __init__(self, symbols: Sequence[str], rate: float = 10, second: float = 0.1, seed: int = 1) -> None:
        self.sent = 0
        self._symbols = list(symbols)
        self._rate, self._second = rate, second
        self._random = Random(seed)
        self._mids = {symbol: 10.0 ** self._random.uniform(-2, 5) for symbol in self._symbols}
        self._ready: Future[tuple[asyncio.AbstractEventLoop, int]] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop, self._port = self._ready.result(DEADLINE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._port}"

    async def _serve(self) -> None:
        async with serve(
            self._push, "127.0.0.1", 0, process_request=self._answer, compression=None
        ) as server:
            port = server.sockets[0].getsockname()[1]
            self._ready.set_result((asyncio.get_running_loop(), port))
            await self._stop.wait()

    def _answer(self, socket: ServerConnection, request: Request) -> Response | None:
        if request.path == "/ws":
            return None
        path = STATIC / (request.path.strip("/") or "index.html")
        if path.parent != STATIC or not path.is_file():
            return socket.respond(HTTPStatus.NOT_FOUND, "")
        headers = {"Content-Type": TYPES[path.suffix], "Content-Security-Policy": POLICY}
        body = path.read_bytes()
        headers |= {"Content-Length": str(len(body)), "Connection": "close"}
        return Response(200, "OK", Headers(headers), body)

    async def _push(self, socket: ServerConnection) -> None:
        wish: dict[str, Any] = {"book": None}
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        try:
            while True:
                await socket.send(json.dumps(self._frame(number, wish["book"])))
                number += 1
                self.sent += 1
                try:
                    wait = max(0.001, began + number / self._rate - loop.time())
                    wish = json.loads(await asyncio.wait_for(socket.recv(), wait))
                except TimeoutError:
                    pass
        except ConnectionClosed:
            pass

    def _frame(self, number: int, book: str | None) -> dict[str, Any]:
        now = START + number * self._second
        some = [s for i, s in enumerate(self._symbols) if number == 0 or i % 4 == number % 4]
        frame: dict[str, Any] = {
            "time": _iso(now),
            "products": [self._row(symbol, now, number) for symbol in some],
        }
        if number % max(1, round(1 / self._second)) == 0:
            count = len(self._symbols)
            frame["status"] = {
                "kind": "live",
                "live": count,
                "products": count,
                "connects": 16,
                "resyncs": 3,
                "gaps": 1,
                "missing_trades": 0,
                "lag_p50": 0.0042,
                "lag_p99": 0.011,
            }
        if book:
            frame["book"] = self._book(book, now)
            frame["trades"] = [self._trade(book, now, number)]
        return frame

    def _tick(self, symbol: str) -> tuple[float, int]:
        """A product's tick, and its decimals: the price has some six digits."""
        decimals = max(2, 5 - len(str(int(self._mids[symbol]))))
        return 10.0**-decimals, decimals

    def _row(self, symbol: str, now: float, number: int) -> dict[str, Any]:
        self._mids[symbol] *= 1 + self._random.gauss(0, 2e-5)
        mid, (tick, decimals) = self._mids[symbol], self._tick(symbol)
        bid = round(mid - tick, decimals)
        ask = round(bid + self._random.randint(1, 5) * tick, decimals)
        sizes = [round(self._random.expovariate(1), 4) + 1e-4 for _ in range(2)]
        return {
            "exchange": "coinbase",
            "symbol": symbol,
            "timestamp": _iso(now),
            "local_timestamp": _iso(now),
            "ask_amount": sizes[0],
            "ask_price": ask,
            "bid_price": bid,
            "bid_amount": sizes[1],
            "spread": round(ask - bid, decimals),
            "spread_bps": (ask - bid) / mid * 1e4,
            "mid": round((ask + bid) / 2, decimals + 1),
            "imbalance_1": (sizes[1] - sizes[0]) / sum(sizes),
            "event": "live",
            "reason": "",
            "updates": round(number * self._second * 20),
            "seen": _iso(now),
            "lag": self._random.lognormvariate(-5.5, 0.4),
        }

    def _book(self, symbol: str, now: float) -> dict[str, Any]:
        mid, (tick, decimals) = self._mids[symbol], self._tick(symbol)
        sizes = self._random.expovariate
        bids = [[round(mid - n * 2 * tick, decimals), round(sizes(1), 8)] for n in range(1, LEVELS + 1)]
        asks = [[round(mid + n * 2 * tick, decimals), round(sizes(1), 8)] for n in range(1, LEVELS + 1)]
        curve = [[100 * n / 60, mid * (n + n * n / 30)] for n in range(1, 61)]
        signals = {"mid": round(mid, decimals + 1), "spread": 4 * tick, "spread_bps": 4 * tick / mid * 1e4}
        signals |= {f"imbalance_{n}": 0.25 for n in (1, 5, 25)} | {"weighted_mid": mid}
        signals |= {f"{side}_depth_{bps}bps": mid * bps for side in ("bid", "ask") for bps in (10, 50, 100)}
        cost = {"average": mid, "slippage_bps": 0.5}
        return {
            "symbol": symbol,
            "timestamp": _iso(now),
            "local_timestamp": _iso(now),
            "event": "live",
            "reason": "",
            "step": 0,
            "bids": bids,
            "asks": asks,
            "levels": [15_800, 27_800],
            "depth": {"bids": curve, "asks": curve},
            "signals": signals,
            "cost": {"amount": 10_000, "buy": cost, "sell": cost},
        }

    def _trade(self, symbol: str, now: float, number: int) -> dict[str, Any]:
        return {
            "exchange": "coinbase",
            "symbol": symbol,
            "timestamp": _iso(now),
            "local_timestamp": _iso(now),
            "id": str(number),
            "side": self._random.choice(["buy", "sell"]),
            "price": round(self._mids[symbol], 2),
            "amount": round(self._random.expovariate(5), 8),
        }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:26] + "Z"
